"""How far the nearest other instruction is: vectors through a pool, then an exact search in each group.

A group is the records of one evolver and round, the dataset that the paper compares, or the seeds. Its vectors go to a
temporary file that numpy maps, so that memory is bounded by blocks of the search. What is found is written in
files of 65,536 records whose names derive from the group's records, so that a search that was killed goes on.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.datasets.source import open_source
from ray_jobs.jobs.analysis.actors import ENCODE, EncodeActor
from ray_jobs.jobs.analysis.config import AnalysisRunConfig, DiversityConfig
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.analysis.summaries import GROUP, SUMMARY, diversity, encode_summary, groups, own_table, read_files
from ray_jobs.jobs.analysis.tables import EMBEDDING, NEIGHBOURS, FindingsLayout
from ray_jobs.jobs.preflight import check_models
from ray_jobs.output import ownership
from ray_jobs.output.file_names import DATA, SUCCESS
from ray_jobs.output.schema import ROW_GROUP_ROWS
from ray_jobs.pipeline.stage import Stage
from ray_jobs.storage.store import Store
from scoring.neighbours import QUERY_ROWS, Neighbours, Vectors, neighbours

EMBEDDINGS = "embeddings"
"""The name of the analysis whose table holds the vectors."""
RADIUS = 0.05
"""Records nearer than this repeat each other (arXiv 2406.08464)."""
FILE_ROWS = 32 * QUERY_ROWS
Say = Callable[[str], None]


class EncodeJob(AnalysisJob):
    """The vector of each instruction. Raises ConfigError."""

    def __init__(self, config: AnalysisRunConfig, analysis: DiversityConfig) -> None:
        super().__init__(config, EMBEDDINGS, FindingsLayout(EMBEDDING), analysis.seeds)
        self._encoder = analysis.encoder
        check_models([self.stage])

    @property
    def stage(self) -> Stage:
        """An encoder."""
        return Stage(ENCODE, "encoder", EncodeActor, self._encoder, self._encoder.pool)


@dataclass
class Group:
    """The records of one evolver and round, and the file that collects their vectors."""

    evolver: str | None
    round: int
    file: BinaryIO
    ids: list[str] = field(default_factory=list)
    seeds: list[str] = field(default_factory=list)
    width: int = 0

    def add(self, records: pa.Table) -> None:
        """Take records of the group in."""
        self.ids += records["record_id"].to_pylist()
        self.seeds += records["seed_id"].to_pylist()
        vectors = np.asarray(records["embedding"].combine_chunks().flatten().to_numpy(), dtype=np.float32)
        self.width = len(vectors) // records.num_rows
        self.file.write(vectors.tobytes())

    def vectors(self) -> Vectors:
        """All vectors, mapped."""
        self.file.flush()
        return np.memmap(self.file, dtype=np.float32, mode="r", shape=(len(self.ids), self.width))

    @property
    def name(self) -> str:
        """The digest of the records and the radius."""
        return hashlib.blake2b(f"{RADIUS} {' '.join(self.ids)}".encode(), digest_size=12).hexdigest()

    def __str__(self) -> str:
        return f"{self.evolver or 'seeds'}, round {self.round}"


def measure_distances(encoded: Store, store: Store, say: Say) -> None:
    """Search the vectors in `encoded`, and write table, summary and marker to `store`, as far as they are not there.

    Raises OutputError where anybody else's file is in `store`.
    """
    ownership.claim(store, "analysis")
    with ExitStack() as files:
        found = _collect(encoded, files)
        wanted = [path for group in found for path in _paths(group)]
        orphans = [path for path in own_table(store) if path not in wanted]
        store.delete([*([SUCCESS] if orphans or not _all_there(store, wanted) else []), *orphans])
        for group in found:
            _search(store, group, say)
    table = read_files(store, wanted, NEIGHBOURS.names)
    entries = [{"evolver": evolver, "round": number} | diversity(part) for evolver, number, part in groups(table)]
    store.write_bytes(SUMMARY, encode_summary(entries))
    store.write_bytes(SUCCESS, b"")


def _collect(encoded: Store, files: ExitStack) -> list[Group]:
    found: dict[tuple[str | None, int], Group] = {}
    for batch in open_source(encoded).batches(["record_id", "seed_id", *GROUP, "embedding"]):
        for evolver, number, part in groups(pa.Table.from_batches([batch])):
            if (evolver, number) not in found:
                file = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
                found[evolver, number] = Group(evolver, number, file)
            found[evolver, number].add(part)
    return list(found.values())


def _paths(group: Group) -> list[str]:
    return [f"{DATA}/{group.name}-{start:010d}.parquet" for start in range(0, len(group.ids), FILE_ROWS)]


def _all_there(store: Store, paths: Sequence[str]) -> bool:
    there = {path for path, _ in store.list(DATA)}
    return there.issuperset(paths)


def _search(store: Store, group: Group, say: Say) -> None:
    vectors = group.vectors()
    for number, path in enumerate(_paths(group)):
        if not store.exists(path):
            start = number * FILE_ROWS
            say(f"distances of {group}: {start:,} of {len(group.ids):,} records")
            blocks = list(islice(neighbours(vectors, RADIUS, start), FILE_ROWS // QUERY_ROWS))
            store.write_bytes(path, _encode(group, start, blocks))


def _encode(group: Group, start: int, blocks: Sequence[Neighbours]) -> bytes:
    distance = np.concatenate([block.distance for block in blocks]).astype(np.float64)
    nearest = np.concatenate([block.nearest for block in blocks])
    end = start + len(distance)
    columns = [
        pa.array(group.ids[start:end]),
        pa.array(group.seeds[start:end]),
        pa.array([group.evolver] * len(distance), pa.string()),
        pa.array([group.round] * len(distance), pa.int32()),
        pa.array(distance, from_pandas=True),
        pa.array([group.ids[place] if place >= 0 else None for place in nearest.tolist()], pa.string()),
        pa.array(np.concatenate([block.repeats for block in blocks])),
    ]
    buffer = BytesIO()
    table = pa.Table.from_arrays(columns, schema=NEIGHBOURS)
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    return buffer.getvalue()
