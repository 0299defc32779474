"""Outputs that the first version of this program began: read as they are, and taken over once, as sealed epoch 0.

That version knew no epochs. Its entries lie in `manifest/`, its plan is what `plan/index.json` lists, and of two parts
with the same row the one with the later lease counts. It must not go on with an output that has epochs, for it would
take all of it for leftovers: an index and a `run.json` that it refuses keep it off, and the next one of its leases
stops a driver of it that still runs.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ray_jobs.errors import DamagedOutput, MissingFile
from ray_jobs.output.accepted import Accepted, counted_once
from ray_jobs.output.checksums import checksum
from ray_jobs.output.file_names import FIRST_ENTRIES, RUN, Tag
from ray_jobs.output.lease import FIRST_VERSION, myself
from ray_jobs.output.manifest import Entry
from ray_jobs.output.plan_index import INDEX, PlanFile, PlanIndex
from ray_jobs.storage.store import Store

READERS = 16
FORMAT = 2
_GUARD = {
    "format": FORMAT,
    "what this is": "A mark for slm-evolve 0.1, which cannot read this output. The plan is listed under epochs/.",
}


def read(store: Store) -> Accepted:
    """What counts in an output that was not taken over, if there is one. Raises DamagedOutput and MissingFile."""
    plan = _index(store)
    if plan is None:
        return Accepted()
    entries = _entries(store)
    gone = {name for raw, _ in entries for name in raw.get("replaces", ())}
    live = [(raw, entry) for raw, entry in entries if entry.name not in gone]
    live.sort(key=lambda item: (-int(item[0]["lease"]), item[1].name))
    parts = counted_once(store, [entry for _, entry in live], plan.rows)
    return Accepted(None, plan, parts, _settings(store))


def is_begun(store: Store) -> bool:
    """Whether there is a plan of the first version, which no epoch has taken over yet."""
    return _index(store) is not None


def sealed(store: Store) -> dict[str, Any]:
    """The content of seal 0: what counts, with checksums of the plan's files, which that version did not keep."""
    found = read(store)
    assert found.plan is not None
    with ThreadPoolExecutor(READERS) as pool:
        files = list(pool.map(lambda file: _with_checksum(store, file), found.plan.files))
    plan = PlanIndex(**{**vars(found.plan), "files": files})
    return replace(found, plan=plan).to_json(Tag(0, "0" * 12))


def stop_drivers(store: Store) -> None:
    """Take the first version's next lease, so that whoever holds its last one finds it lost."""
    if latest := FIRST_VERSION.latest(store):
        store.create_exclusive(FIRST_VERSION.path(latest + 1), json.dumps(myself()).encode())
        store.write_bytes(FIRST_VERSION.beat_path(latest + 1), b"released")


def guard() -> bytes:
    """The index that the first version refuses."""
    return json.dumps(_GUARD, indent=1).encode()


def _index(store: Store) -> PlanIndex | None:
    source = store.url_of(INDEX)
    try:
        raw = json.loads(store.read_bytes(INDEX))
    except MissingFile:
        return None
    except ValueError as error:
        raise DamagedOutput(f"{source}: expected a plan index, got something else ({error})") from error
    if isinstance(raw, dict) and raw.get("format") == FORMAT:
        return None
    return PlanIndex.from_json(raw, source)


def _entries(store: Store) -> list[tuple[dict[str, Any], Entry]]:
    paths = [path for path, _ in store.list(FIRST_ENTRIES) if path.endswith(".json")]
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda path: _entry(store, path), paths))


def _entry(store: Store, path: str) -> tuple[dict[str, Any], Entry]:
    source = store.url_of(path)
    try:
        raw = json.loads(store.read_bytes(path))
        lease = int(raw["lease"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedOutput(f"{source}: expected a manifest entry, got something else ({error})") from error
    entry = Entry.from_json(raw, source)
    if path != f"{FIRST_ENTRIES}/{entry.name}.json":
        raise DamagedOutput(f"{source}: holds the entry of another part, {entry.name}")
    return raw | {"lease": lease}, entry


def _settings(store: Store) -> dict[str, Any] | None:
    try:
        settings = json.loads(store.read_bytes(RUN))["result_settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedOutput(f"{store.url_of(RUN)}: expected the file of a run, got something else ({error})") from error
    return dict(settings)


def _with_checksum(store: Store, file: PlanFile) -> PlanFile:
    return replace(file, checksum=checksum(store.read_bytes(file.path)))
