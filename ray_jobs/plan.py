"""The plan: every row of a run, written down before the first model loads.

`plan/EVOLVER/FIRST-COUNT.parquet` hold the rows of one evolver, numbered through the whole plan; `plan/index.json`
lists them and counts seeds. A file counts once the index lists it. Seeds are added, never changed or taken away: a
seed keeps its index, and a row its number, for as long as the output lives.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import compress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.errors import DamagedOutput, SeedError
from ray_jobs.idset import IdSet
from ray_jobs.rows import PLAN_SCHEMA
from ray_jobs.seeds import BadSeed, Seed, SeedBatch, SeedSource, read_seeds, signature
from ray_jobs.storage import Store

INDEX = "plan/index.json"
UNREADABLE = "_unreadable"
"""The folder, in place of an evolver's name, of seeds that could not be read."""
QUERY_FELL = "query_"
"""What the reason of a seed there begins with that could be read but fell by a rule, such as query_too_short."""
ROWS_PER_GROUP = 256


@dataclass(frozen=True)
class PlanFile:
    """One file of the plan: `rows` rows of `evolver`, the first of which has number `first`."""

    evolver: str
    first: int
    rows: int

    @property
    def path(self) -> str:
        """Where the file lies in the output."""
        return f"plan/{self.evolver}/{self.first:012d}-{self.rows}.parquet"


@dataclass
class PlanIndex:
    """What is planned. `seeds` counts usable ones, `held_out` those that the run leaves alone.

    `signature` is that of the seed files it was read from whole.
    """

    rows: int = 0
    seeds: int = 0
    duplicates: int = 0
    held_out: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    signature: str | None = None
    files: list[PlanFile] = field(default_factory=list)

    def to_json(self) -> bytes:
        """The index as it is stored."""
        return json.dumps(vars(self) | {"files": [vars(file) for file in self.files]}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, source: str) -> PlanIndex:
        """Read a stored index. Raises DamagedOutput, naming `source`, where it is not one."""
        try:
            raw: dict[str, Any] = json.loads(data)
            files = [PlanFile(**one) for one in raw.pop("files")]
            return cls(files=files, unreadable=Counter(raw.pop("unreadable")), **raw)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedOutput(f"{source}: expected a plan index, got something else ({error})") from error


@dataclass(frozen=True)
class Fanout:
    """How seeds become rows: through which evolvers, by which weights where they are split, in how many samples.

    `outputs` keeps the seeds' outputs in the plan, for jobs that read them. Seeds with an id in `held_out` become no
    rows.
    """

    evolvers: Mapping[str, float]
    split: bool
    samples: int
    strategy_fingerprint: str
    run_seed: int
    outputs: bool = False
    held_out: frozenset[str] = frozenset()

    def chosen(self, seed_id: str) -> list[str]:
        """The evolvers of a seed: all of them, or the one that a hash of the seed picks by weight."""
        if not self.split:
            return list(self.evolvers)
        return [max(self.evolvers, key=lambda name: self._luck(seed_id, name))]

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


def load_index(store: Store) -> PlanIndex | None:
    """The plan's index, or None where nothing is planned yet."""
    if not store.exists(INDEX):
        return None
    return PlanIndex.from_json(store.read_bytes(INDEX), store.url_of(INDEX))


def make_plan(
    store: Store, source: SeedSource, fanout: Fanout, before_writing: Callable[[], None] = lambda: None
) -> PlanIndex:
    """Plan the seeds that are not planned yet, and return the index of the whole plan.

    Reads the seeds only where their files have changed since they were read whole. Streams: memory is 16 bytes a
    seed. Raises SeedError as `read_seeds` does, and where all seeds are held out; and whatever `before_writing` raises,
    which is called before the index is replaced.
    """
    index = load_index(store) or PlanIndex()
    now = signature(source)
    if index.signature == now:
        return index
    known = _planned_ids(store, index)
    index.held_out = 0
    for batch in read_seeds(source):
        offered = _without(batch, fanout.held_out)
        index.held_out += len(batch.seeds) - len(offered.seeds)
        _append(store, index, _unplanned(offered, known), fanout)
        index.duplicates = batch.report.duplicates
        before_writing()
        store.write_bytes(INDEX, index.to_json())
    if index.held_out and not index.rows:
        raise SeedError(
            f"{', '.join(source.paths)}: all {index.held_out:,} seeds are dev rows of the method: none is left"
        )
    index.signature = now
    before_writing()
    store.write_bytes(INDEX, index.to_json())
    return index


def _without(batch: SeedBatch, held_out: frozenset[str]) -> SeedBatch:
    return replace(batch, seeds=[seed for seed in batch.seeds if seed.seed_id not in held_out])


def _unplanned(batch: SeedBatch, known: IdSet) -> SeedBatch:
    """What of a batch is not in the plan yet."""
    seeds = known.add([bytes.fromhex(seed.seed_id) for seed in batch.seeds])
    bad = known.add([bytes.fromhex(one.seed_id) for one in batch.bad])
    return replace(batch, seeds=list(compress(batch.seeds, seeds)), bad=list(compress(batch.bad, bad)))


def _append(store: Store, index: PlanIndex, batch: SeedBatch, fanout: Fanout) -> None:
    """Number the batch's seeds and write their rows."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for place, seed in enumerate(batch.seeds, start=index.seeds):
        for evolver in fanout.chosen(seed.seed_id):
            rows.setdefault(evolver, []).extend(planned_rows(seed, place, evolver, fanout))
    if batch.bad:
        rows[UNREADABLE] = [unreadable(bad) for bad in batch.bad]
        index.unreadable.update(bad.reason for bad in batch.bad)
    index.seeds += len(batch.seeds)
    add_rows(store, index, rows)


def add_rows(store: Store, index: PlanIndex, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Number rows and write them, one file an evolver. They count once the index is written."""
    for evolver, planned in rows.items():
        file = PlanFile(evolver, index.rows, len(planned))
        numbered = [{"plan_row": number, **row} for number, row in enumerate(planned, start=index.rows)]
        store.write_bytes(file.path, _encode(numbered))
        index.files.append(file)
        index.rows += file.rows


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
            "seed_output": seed.output if fanout.outputs else None,
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


def _encode(rows: list[dict[str, Any]]) -> bytes:
    buffer = BytesIO()
    table = pa.Table.from_pylist(rows, PLAN_SCHEMA)
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROWS_PER_GROUP)
    return buffer.getvalue()


def _planned_ids(store: Store, index: PlanIndex) -> IdSet:
    known = IdSet()
    for file in index.files:
        with store.open_input(file.path) as opened:
            column = pq.read_table(opened, columns=["seed_id"])["seed_id"]
        known.add([bytes.fromhex(seed_id) for seed_id in column.unique().to_pylist()])
    return known


def digest(*parts: str) -> str:
    """BLAKE2b-128 of some texts, in hex."""
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
