"""The plan: every row of a run, written down before the first model loads.

`plan/EVOLVER/TAG-FIRST-COUNT.parquet` hold the rows of one evolver, numbered through the whole plan. A file counts
once an entry of the epoch that wrote it names it (accepted.py). Seeds are added; a seed keeps its index, and a row its
number, for as long as the output lives. Rows whose seed is gone stay, or are retracted: see gone.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import compress
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_jobs.errors import ConfigError, SeedError
from ray_jobs.output.checksums import checksum
from ray_jobs.output.epochs import Epoch
from ray_jobs.output.gone import OnGone, settle_gone
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import UNREADABLE, PlanFile, PlanIndex
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.seeds.idset import IdSet
from ray_jobs.seeds.read import BadSeed, Seed, SeedBatch, SeedSource, read_seeds, signature
from ray_jobs.storage.store import Store

QUERY_FELL = "query_"
"""What the reason of a seed there begins with that could be read but fell by a rule, such as query_too_short."""
ROWS_PER_GROUP = 256
HELD_ROWS = 500_000
"""So many rows of one evolver are held in memory at most before they are written."""


class Plans(Protocol):
    """Takes rows as a plan."""

    @property
    def store(self) -> Store:
        """Where the plan's files lie."""

    @property
    def index(self) -> PlanIndex:
        """What is planned, and what is to be."""

    def add(self, evolver: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema = PLAN_SCHEMA) -> None:
        """Number rows and write them as one file. They count once they are committed."""

    def check(self) -> None:
        """Raise what ends the work, if it is to end."""

    def commit(self) -> None:
        """Make the files that were added, and the counts of the index, count."""


class PlanWriter:
    """Adds rows to the plan of an epoch. `index` is what is planned, and what is written down to be planned.

    `may_go_on` is called before anything counts, and ends the work by raising.
    """

    def __init__(self, epoch: Epoch, may_go_on: Callable[[], None] = lambda: None) -> None:
        self.store: Store = epoch.store
        self.index = replace(epoch.accepted.index, files=list(epoch.accepted.index.files))
        self._epoch, self._may_go_on, self._committed = epoch, may_go_on, len(self.index.files)

    def add(self, evolver: str, rows: Sequence[Mapping[str, Any]], schema: pa.Schema = PLAN_SCHEMA) -> None:
        """Number rows and write them as one file. They count once they are committed."""
        data = encode_plan(rows, self.index.rows, schema)
        file = PlanFile(evolver, self.index.rows, len(rows), str(self._epoch.lease.tag), checksum(data))
        self.store.write_bytes(file.path, data)
        self.index.files.append(file)
        self.index.rows += file.rows

    def check(self) -> None:
        """Raise what ends the work, if it is to end."""
        self._may_go_on()

    def commit(self) -> None:
        """Make the files that were added, and the counts of the index, count."""
        self.check()
        self._epoch.add_plan(self.index, self._committed)
        self._committed = len(self.index.files)


@dataclass(frozen=True)
class Fanout:
    """How seeds become rows: through which evolvers, by which weights where they are split, in how many samples.

    Seeds with an id in `held_out` become no rows.
    """

    evolvers: Mapping[str, float]
    split: bool
    samples: int
    strategy_fingerprint: str
    run_seed: int
    held_out: frozenset[str] = frozenset()

    def chosen(self, seed_id: str) -> list[str]:
        """The evolvers of a seed: all of them, or the one that a hash of the seed picks by weight."""
        if not self.split:
            return list(self.evolvers)
        return [max(self.evolvers, key=lambda name: self._luck(seed_id, name))]

    def rows_of(self, seeds: int) -> int:
        """How many rows so many seeds become."""
        return seeds * self.samples * (1 if self.split else len(self.evolvers))

    def row_id(self, seed_id: str, evolver: str, sample: int) -> str:
        """BLAKE2b-128 of all that determines a row."""
        return digest(seed_id, self.strategy_fingerprint, evolver, str(sample))

    def _luck(self, seed_id: str, evolver: str) -> float:
        """Weighted rendezvous hashing: u ** (1 / w) is greatest for an evolver with probability w / sum of all w.

        Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006). Where an evolver is added,
        a seed either stays or moves to the new one.
        """
        draw = (int(digest(seed_id, evolver, str(self.run_seed))[:13], 16) + 1) / (16**13 + 1)
        return float(draw ** (1 / self.evolvers[evolver]))


def make_plan(
    writer: Plans, source: SeedSource, fanout: Fanout, gone: OnGone = "refuse", most: int | None = None
) -> PlanIndex:
    """Plan the seeds that are not planned yet, no more than `most` rows, and return the index of the whole plan.

    Reads the seeds only where their files have changed since they were read whole; what then becomes of rows whose seed
    is not among them, `gone` says. Streams: memory is 16 bytes a seed, twice that where there was a plan. Raises
    SeedsChanged as `settle_gone` does, SeedError as `read_seeds` does, and where all seeds are held out, ConfigError
    where there are more rows; and as the writer does.
    """
    index = writer.index
    now = signature(source)
    if index.signature == now:
        return index
    before = list(index.files)
    known, seen = _planned_ids(writer.store, index), IdSet()
    index.held_out = 0
    for batch in read_seeds(source):
        offered = _without(batch, fanout.held_out)
        index.held_out += len(batch.seeds) - len(offered.seeds)
        new = _unplanned(offered, known)
        check_size(index.rows + fanout.rows_of(len(new.seeds)) + len(new.bad), most, index.seeds + len(new.seeds))
        if before:
            seen.add([bytes.fromhex(seed.seed_id) for seed in offered.seeds])
            seen.add([bytes.fromhex(bad.seed_id) for bad in offered.bad])
        _append(writer, new, fanout)
        index.duplicates, index.seed_notes = batch.report.duplicates, batch.report.lines()
        # nothing is added to a plan that may be refused in the end
        if before:
            writer.check()
        else:
            writer.commit()
    if index.held_out and not index.rows:
        raise SeedError(
            f"{', '.join(source.paths)}: all {index.held_out:,} seeds are dev rows of the method: none is left"
        )
    settle_gone(writer.store, index, before, seen, gone)
    index.signature = now
    writer.commit()
    return index


def check_size(rows: int, most: int | None, seeds: int) -> None:
    """Raise ConfigError where `seeds` seeds come to more `rows` than `most`."""
    if most is not None and rows > most:
        raise ConfigError(
            f"limits.planned_rows: expected at most {most:,} planned rows, {seeds:,} seeds come to {rows:,} "
            "(seeds x evolvers x samples); raise it if so many are meant"
        )


def _without(batch: SeedBatch, held_out: frozenset[str]) -> SeedBatch:
    return replace(batch, seeds=[seed for seed in batch.seeds if seed.seed_id not in held_out])


def _unplanned(batch: SeedBatch, known: IdSet) -> SeedBatch:
    """What of a batch is not in the plan yet."""
    seeds = known.add([bytes.fromhex(seed.seed_id) for seed in batch.seeds])
    bad = known.add([bytes.fromhex(item.seed_id) for item in batch.bad])
    return replace(batch, seeds=list(compress(batch.seeds, seeds)), bad=list(compress(batch.bad, bad)))


def _append(writer: Plans, batch: SeedBatch, fanout: Fanout) -> None:
    """Number the batch's seeds and write their rows."""
    index = writer.index
    rows: dict[str, list[dict[str, Any]]] = {}
    for place, seed in enumerate(batch.seeds, start=index.seeds):
        for evolver in fanout.chosen(seed.seed_id):
            planned = rows.setdefault(evolver, [])
            for row in planned_rows(seed, place, evolver, fanout):
                planned.append(row)
                if len(planned) == HELD_ROWS:
                    writer.add(evolver, planned)
                    planned.clear()
    if batch.bad:
        rows[UNREADABLE] = [unreadable(bad) for bad in batch.bad]
        index.unreadable.update(bad.reason for bad in batch.bad)
    index.seeds += len(batch.seeds)
    for evolver, planned in rows.items():
        if planned:
            writer.add(evolver, planned)


def planned_rows(seed: Seed, index: int, evolver: str, fanout: Fanout) -> Iterator[dict[str, Any]]:
    """The rows of one seed through one evolver, one a sample, as in PLAN_SCHEMA but for their numbers."""
    for sample in range(fanout.samples):
        yield {
            "row_id": fanout.row_id(seed.seed_id, evolver, sample),
            "seed_id": seed.seed_id,
            "seed_index": index,
            "evolver": evolver,
            "sample": sample,
            "seed_instruction": seed.instruction,
            "input": seed.input,
            "seed_output": seed.output or None,
            "context": seed.row,
        }


def unreadable(bad: BadSeed) -> dict[str, Any]:
    """The row of a seed that could not be read."""
    return {
        "row_id": bad.seed_id,
        "seed_id": bad.seed_id,
        "seed_instruction": bad.raw,
        "input": "",
        "seed_reason": bad.reason,
        "seed_error": bad.message,
    }


def encode_plan(rows: Sequence[Mapping[str, Any]], first: int, schema: pa.Schema) -> bytes:
    """A file of the plan: rows with their numbers, the first of which is `first`."""
    buffer = BytesIO()
    numbered = [{"plan_row": number, **row} for number, row in enumerate(rows, start=first)]
    table = pa.Table.from_pylist(numbered, schema)
    # with a checksum a page: tasks read some row groups of a file, and see what is damaged in them
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROWS_PER_GROUP, write_page_checksum=True)
    return buffer.getvalue()


def _planned_ids(store: Store, index: PlanIndex) -> IdSet:
    """The seeds of the plan. One that is back after its rows were retracted is planned again."""
    known, retracted = IdSet(), pa.array(index.retracted)
    for file in index.files:
        rows = read_plan_file(store, file, ["plan_row", "seed_id"])
        asked = rows.filter(pc.invert(pc.is_in(rows["plan_row"], retracted)))
        known.add([bytes.fromhex(seed_id) for seed_id in asked["seed_id"].unique().to_pylist()])
    return known


def digest(*parts: str) -> str:
    """The checksum of some texts."""
    return checksum("\n".join(parts).encode())
