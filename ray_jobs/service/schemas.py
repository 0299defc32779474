"""The kinds of configuration that have a JSON schema, that of the service among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray_jobs.jobs import schemas
from ray_jobs.service.config import ServedRunConfig

KINDS: Mapping[str, Any] = {**schemas.KINDS, "serve": ServedRunConfig}
