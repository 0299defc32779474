"""Reading an output: what counts of all that epochs have left in it.

Every driver begins an epoch and writes down once, in the epoch's seal, all that it accepts of earlier ones. What counts
is the greatest seal that is not void, and the entries of its own epoch that are there now. Entries of any other epoch
do not exist. The same objects give the same answer in whatever order they are read. docs/takeover.md is the protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ray_jobs.errors import DamagedOutput, MissingFile, OutputError
from ray_jobs.output import first_version
from ray_jobs.output.accepted import Accepted, Ignored, counted_once
from ray_jobs.output.checksums import from_checked
from ray_jobs.output.file_names import EPOCHS, Tag, entry_folder
from ray_jobs.output.manifest import Entry
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.storage.store import Store

Seen = TypeVar("Seen")

READERS = 16
MOVED_TRIES = 5
_SEAL = re.compile(rf"{EPOCHS}/(\d+)\.seal")
ADDED, PLANNED, SETTLED, SWAPPED = "part-", "plan-", "settings", "swap-"
"""What the names of entries begin with: in this order they are listed, so that a reader who sees a part replaced has
seen every part that was there before."""


@dataclass(frozen=True)
class Swap:
    """Parts that one part, or none, stands for from now on."""

    replaces: tuple[str, ...]
    part: Entry | None


def void() -> dict[str, Any]:
    """The seal of an epoch that accepted nothing in time, and so never may."""
    return {"void": True}


def seal_path(epoch: int) -> str:
    """Where the seal of an epoch lies."""
    return f"{EPOCHS}/{epoch:06d}.seal"


def sealed_epochs(store: Store) -> list[int]:
    """The epochs that have a seal, void or not, the latest first."""
    found = (_SEAL.fullmatch(path) for path, _ in store.list(EPOCHS))
    return sorted((int(item[1]) for item in found if item), reverse=True)


def load(store: Store) -> Accepted:
    """What counts now. An empty answer where there is no run.

    A run that is taken over meanwhile is read again. Raises DamagedOutput, and OutputError where that does not end.
    """
    return _unmoved(store, lambda epochs: read(store, epochs))


def _unmoved(store: Store, look: Callable[[Sequence[int]], Seen]) -> Seen:
    """What `look` finds, given the sealed epochs, while no other epoch is sealed."""
    epochs = sealed_epochs(store)
    for _ in range(MOVED_TRIES):
        before = epochs
        try:
            found = look(before)
        except MissingFile as error:
            # parts were joined since they were listed, or an epoch has begun; what is really missing stays so
            missing, epochs = error, sealed_epochs(store)
            continue
        # entries go once a later epoch is sealed: a list of them is whole where none is by now
        epochs = sealed_epochs(store)
        if epochs == before:
            return found
        missing = MissingFile(f"{store.url}: is taken over again and again")
    raise DamagedOutput(f"{missing}; `evolve verify` tells what else is missing") from missing


def read(store: Store, epochs: Iterable[int], ignored: Ignored = None) -> Accepted:
    """What counts of `epochs`, which are sealed. Raises DamagedOutput, and MissingFile while it changes.

    Parts that are damaged or gone, as far as they are read, are given to `ignored` instead, and read over.
    """
    seal = _latest_seal(store, epochs)
    return with_entries(store, seal, ignored) if seal else first_version.read(store)


def _latest_seal(store: Store, epochs: Iterable[int]) -> Accepted | None:
    """What the greatest of these seals that is not void says."""
    for epoch in sorted(epochs, reverse=True):
        source = store.url_of(seal_path(epoch))
        content = from_checked(store.read_bytes(seal_path(epoch)), source)
        if content != void():
            return _sealed(content, epoch, source)
    return None


def planned(store: Store) -> tuple[Accepted, PlanIndex]:
    """What counts, and its plan. Raises OutputError where nothing is planned."""
    found = load(store)
    if found.plan is None:
        raise OutputError(f"{store.url}: there is no run here (no plan)")
    return found, found.plan


def is_planned(store: Store) -> bool:
    """Whether there is a run whose rows are planned, in part at least. Reads one seal. Raises as `load`."""
    return _unmoved(store, lambda epochs: _is_planned(store, epochs))


def _is_planned(store: Store, epochs: Sequence[int]) -> bool:
    seal = _latest_seal(store, epochs)
    if seal is None:
        return first_version.is_begun(store)
    assert seal.tag is not None
    return seal.plan is not None or any(
        path.rpartition("/")[2].startswith(PLANNED) for path in entry_files(store, seal.tag)
    )


def entry_files(store: Store, tag: Tag) -> list[str]:
    """The entries of an epoch, added parts first and replacing ones last."""
    return [path for path, _ in store.list(entry_folder(tag)) if path.endswith(".json")]


def _sealed(content: Any, epoch: int, source: str) -> Accepted:
    try:
        plan = PlanIndex.from_json(content["plan"], source) if content["plan"] else None
        parts = tuple(Entry.from_json(part, source) for part in content["parts"])
        return Accepted(Tag(epoch, str(content["token"])), plan, parts, content["settings"])
    except (KeyError, TypeError) as error:
        raise DamagedOutput(f"{source}: expected a seal, got something else ({error})") from error


def with_entries(store: Store, base: Accepted, ignored: Ignored = None) -> Accepted:
    """What the seal `base` and the entries of its epoch say together. Raises DamagedOutput and MissingFile."""
    assert base.tag is not None
    paths = entry_files(store, base.tag)
    with ThreadPoolExecutor(READERS) as pool:
        contents = list(pool.map(store.read_bytes, paths))
    found = _Found(base.plan, base.settings)
    for path, content in zip(paths, contents, strict=True):
        try:
            found.take(path, content, store.url_of(path))
        except DamagedOutput as error:
            if ignored is None or not path.rsplit("/", 1)[-1].startswith((ADDED, SWAPPED)):
                raise
            ignored(error)
    parts = _counted(store, base.parts, found.swaps, found.added, found.plan.rows if found.plan else 0, ignored)
    return Accepted(base.tag, found.plan, parts, found.settings)


@dataclass
class _Found:
    """What the entries of an epoch add to its seal."""

    plan: PlanIndex | None
    settings: dict[str, Any] | None
    added: list[Entry] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)

    def take(self, path: str, data: bytes, source: str) -> None:
        """Take one entry in. Raises DamagedOutput."""
        name, content = path.rsplit("/", 1)[-1].removesuffix(".json"), from_checked(data, source)
        try:
            if name.startswith(ADDED):
                self.added.append(_named(content["part"], name.removeprefix(ADDED), source))
            elif name.startswith(SWAPPED):
                part = content["part"] and _named(content["part"], name.removeprefix(SWAPPED), source)
                self.swaps.append(Swap(tuple(content["replaces"]), part or None))
            elif name.startswith(PLANNED):
                later = PlanIndex.from_json(content["plan"], source)
                self.plan = (self.plan or PlanIndex()).extended(later)
            elif name == SETTLED:
                self.settings = content["settings"]
        except (KeyError, TypeError) as error:
            raise DamagedOutput(f"{source}: expected an entry, got something else ({error})") from error


def _named(raw: Any, name: str, source: str) -> Entry:
    entry = Entry.from_json(raw, source)
    if entry.name != name:
        raise DamagedOutput(f"{source}: holds the entry of another part, {entry.name}")
    return entry


def _counted(
    store: Store,
    sealed: Sequence[Entry],
    swaps: Sequence[Swap],
    added: Sequence[Entry],
    total: int,
    ignored: Ignored,
) -> tuple[Entry, ...]:
    """The parts that count, each with the rows that no part before it holds."""
    gone = {name for swap in swaps for name in swap.replaces}
    every = [*sealed, *(swap.part for swap in swaps if swap.part), *added]
    return counted_once(store, [part for part in every if part.name not in gone], total, ignored)
