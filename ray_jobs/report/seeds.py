"""Sums by seed, evolver and round, for comparisons of evolvers on the same seeds, in bounded memory.

Where an output has more seeds than fit, a random sample of them is looked at, always the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.datasets.analyses import id_bytes
from ray_jobs.report.histogram import Floats

SEEDS, CELLS = 50_000, 1_200_000
"""The most seeds of a sample, and the most sums a measure: with six evolvers and five rounds 40,000 seeds."""
Slots = npt.NDArray[np.int64]
"""Places in the sample, -1 for a seed that is not in it."""
_NONE = np.empty(0, dtype=np.int64)


class SeedSample:
    """Seeds `0 .. seeds - 1`, or a random part of them, each with a slot from 0. Memory is 4 bytes a seed."""

    def __init__(self, seeds: int, limit: int) -> None:
        self.of, self.size = seeds, min(seeds, limit)
        self._slots = np.full(seeds, -1, dtype=np.int32)
        chosen = np.arange(seeds)
        if seeds > limit:
            chosen = np.sort(np.random.default_rng(0).choice(seeds, limit, replace=False, shuffle=False))
        self._slots[chosen] = np.arange(self.size)

    def slots(self, seed_index: pa.Array) -> Slots:
        """The slot of each record by its seed's index; -1 where the index is null."""
        index = pc.fill_null(seed_index, -1).to_numpy(zero_copy_only=False)
        known = (index >= 0) & (index < self.of)
        return np.where(known, self._slots[np.where(known, index, 0)] if self.of else -1, -1).astype(np.int64)


class SeedSums:
    """For each measure, evolver, round and sampled seed: the sum and number of its defined values over kept records.

    All arrays have the shape (evolvers, rounds, seeds). `ended` and `kept` count records, `tokens` adds up those that
    evolver and responder read and wrote for any record, kept or not.
    """

    def __init__(
        self, sample: SeedSample, evolvers: Sequence[str], rounds: Sequence[int], measures: Sequence[str]
    ) -> None:
        self.sample, self.evolvers, self.rounds = sample, list(evolvers), list(rounds)
        self.shape = (len(self.evolvers), len(self.rounds), sample.size)
        self.ended, self.kept, self.tokens = (np.zeros(self.shape) for _ in range(3))
        self.sums: dict[str, Floats] = {name: np.zeros(self.shape) for name in measures}
        self.counts: dict[str, Floats] = {name: np.zeros(self.shape) for name in measures}
        self._ids: list[npt.NDArray[np.bytes_]] = []
        self._cells: list[Slots] = []
        self._indexed: tuple[npt.NDArray[np.bytes_], Slots] | None = None

    def add(self, batch: pa.RecordBatch, kept: bool, values: Mapping[str, Floats]) -> None:
        """Take records in. The batch has evolver, round, seed_index and both counts of tokens; if kept, record_id."""
        cells = self._cells_of(batch)
        inside = cells >= 0
        cells = cells[inside]
        np.add.at(self.ended.reshape(-1), cells, 1)
        tokens = [pc.fill_null(batch.column(name), 0).to_numpy() for name in ("prompt_tokens", "completion_tokens")]
        np.add.at(self.tokens.reshape(-1), cells, sum(tokens)[inside])
        if not kept:
            return
        np.add.at(self.kept.reshape(-1), cells, 1)
        self._ids.append(id_bytes(batch.column("record_id").filter(pa.array(inside))))
        self._cells.append(cells)
        self._indexed = None
        for name, all_values in values.items():
            self._add_values(name, cells, all_values[inside])

    def add_by_record(self, name: str, record_ids: pa.Array, values: Floats) -> None:
        """Take values of a measure in by the ids of kept records; ids of other records are passed over."""
        ids, cells = self._index()
        if not len(ids):
            return
        wanted = id_bytes(record_ids)
        place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        found = ids[place] == wanted
        self._add_values(name, cells[place[found]], values[found])

    def _add_values(self, name: str, cells: Slots, values: Floats) -> None:
        defined = np.isfinite(values)
        np.add.at(self.sums[name].reshape(-1), cells[defined], values[defined])
        np.add.at(self.counts[name].reshape(-1), cells[defined], 1)

    def _index(self) -> tuple[npt.NDArray[np.bytes_], Slots]:
        """Sorted ids of the kept records of sampled seeds, and their cells."""
        if self._indexed is None:
            ids, cells = np.concatenate([np.empty(0, "S1"), *self._ids]), np.concatenate([_NONE, *self._cells])
            order = np.argsort(ids)
            self._indexed = ids[order], cells[order]
        return self._indexed

    def _cells_of(self, batch: pa.RecordBatch) -> Slots:
        slots = self.sample.slots(batch.column("seed_index"))
        evolver = _places(batch.column("evolver"), self.evolvers)
        number = _places(batch.column("round"), self.rounds)
        known = (slots >= 0) & (evolver >= 0) & (number >= 0)
        cells: Slots = np.where(known, (evolver * self.shape[1] + number) * self.shape[2] + slots, -1)
        return cells


def make_sums(seeds: int, evolvers: Sequence[str], rounds: Sequence[int], measures: Sequence[str]) -> SeedSums:
    """Empty sums for an output of so many seeds, over as large a sample as fits."""
    limit = min(SEEDS, CELLS // max(1, len(evolvers) * len(rounds)))
    return SeedSums(SeedSample(seeds, limit), evolvers, rounds, measures)


def _places(values: pa.Array, known: Sequence[str | int]) -> Slots:
    places = pc.index_in(values, pa.array(known, values.type))
    return np.asarray(pc.fill_null(places, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
