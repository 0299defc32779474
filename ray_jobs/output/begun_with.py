"""The settings that an output was begun with, which a run that goes on must have."""

from __future__ import annotations

from typing import Any

from ray_jobs.config.identity import changes
from ray_jobs.errors import SettingsChanged
from ray_jobs.output.accepted import Accepted
from ray_jobs.storage.store import Store


def refuse_changes(store: Store, found: Accepted, settings: dict[str, Any]) -> None:
    """Raise SettingsChanged where rows in `store` were planned under other settings."""
    if found.index.rows and (lines := changes(found.settings or {}, settings)):
        raise SettingsChanged(
            f"{store.url}: this output was begun with other settings; use them, or another output\n"
            + "\n".join(f"  {line}" for line in lines)
        )
