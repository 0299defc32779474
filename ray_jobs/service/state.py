"""What every route of the service works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ray_jobs.service.borrowing import OwnEngines
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engines import Engines
from ray_jobs.service.jobs import RunJobs
from ray_jobs.storage.store import Store, open_store


@dataclass(frozen=True)
class ServiceState:
    """The service as its routes see it.

    `roots` are the folders or URLs below which runs lie, new ones below the first. `settings` are those of the run
    that the service was started with, as its file has them, and `config` the same checked; `storage` are the options
    for URLs. Without `jobs` no run can be started here, without `engines` nothing can be tried.
    `cache` is a folder for indexes that may be thrown away; None makes one that goes with the process. With `own` runs
    that it starts may ask its engines.
    """

    roots: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    storage: Mapping[str, Any] = field(default_factory=dict)
    jobs: RunJobs | None = None
    engines: Engines | None = None
    config: ServedRunConfig | None = None
    cache: str | None = None
    own: OwnEngines | None = None

    def storage_of(self, place: str) -> Mapping[str, Any]:
        """The options by which a place is reached: none of a folder."""
        return self.storage if "://" in place else {}

    def open(self, place: str) -> Store:
        """A folder or URL at which or below which runs lie."""
        return open_store(place, self.storage_of(place))
