"""The settings that an output was begun with, which a run that goes on must have: also how its seeds are read.

The mapping of the seeds is none of the settings that make a run's id, which outputs have from before it was noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ray_jobs.config.identity import changes
from ray_jobs.errors import OutputError, SettingsChanged
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.run_files import read_run
from ray_jobs.storage.store import Store

MAPPING = "seeds."
"""What the paths of settings begin with that say how seeds are read."""


def seed_mapping(layout: str, columns: Mapping[str, str], fields: Sequence[str]) -> dict[str, str]:
    """How seeds are read, by dotted path: the layout, and where each of these `fields` of a seed is found."""
    wanted = {name: name for name in fields} if layout == "columns" else {"conversation": ""}
    found = {f"{MAPPING}columns.{name}": columns.get(name, default) for name, default in wanted.items()}
    return {f"{MAPPING}layout": layout, **found}


def refuse_changes(store: Store, found: Accepted, settings: Mapping[str, Any]) -> None:
    """Raise SettingsChanged where rows in `store` were planned under other settings."""
    if not found.index.rows:
        return
    if lines := changes(_before(store, found, settings), settings):
        raise SettingsChanged(
            f"{store.url}: this output was begun with other settings; use them, or another output\n"
            + "\n".join(f"  {line}" for line in lines)
        )


def _before(store: Store, found: Accepted, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    before = found.settings or {}
    mapped = [path for path in settings if path.startswith(MAPPING)]
    if not mapped or any(path.startswith(MAPPING) for path in before):
        return before
    # begun before mappings were noted: the configuration tells
    with suppress(OutputError):
        seeds = read_run(store)["configuration"].get("seeds", {})
        fields = [path.rpartition(".")[2] for path in mapped if ".columns." in path]
        return {**before, **seed_mapping(seeds.get("layout", "columns"), seeds.get("columns", {}), fields)}
    return before
