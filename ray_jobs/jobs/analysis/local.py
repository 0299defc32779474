"""Analyses that need no model: they read columns of the data, and are made anew each time."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from evolve.strategies.trajectories import phrases, smallest
from ray_jobs.datasets.shards import ParquetShards
from ray_jobs.datasets.source import Source
from ray_jobs.jobs.analysis.summaries import (
    GROUP,
    SUMMARY,
    Entry,
    encode_summary,
    groups,
    own_table,
    phrase_counts,
    top1,
)
from ray_jobs.jobs.analysis.tables import TRAJECTORIES
from ray_jobs.output import ownership
from ray_jobs.output.file_names import DATA, SUCCESS
from ray_jobs.storage.store import Store

COUNTS = ("top1_counts_first", "top1_counts_rest")
"""Columns that outputs of version 0.1 lack."""
KEYS = ("record_id", "seed_id", *GROUP)


def measure_trajectories(source: Source, store: Store) -> None:
    """The phrases of each record, and how many distinct ones each evolver and round has."""
    begin_table(store)
    shards = ParquetShards(store, DATA, TRAJECTORIES)
    counts: dict[tuple[str, int], Counter[str]] = {}
    records: Counter[tuple[str, int]] = Counter()
    for batch in source.batches([*KEYS, "trajectory", "operator"]):
        rows = batch.to_pylist()
        for row in rows:
            group = row["evolver"] or "", row["round"]
            row["phrases"] = phrases(row["trajectory"], row["operator"])
            counts.setdefault(group, Counter()).update(row["phrases"])
            records[group] += 1
        shards.add(pa.RecordBatch.from_pylist(rows, TRAJECTORIES))
    shards.close()
    sample = smallest(counts.values())
    end_table(store, [_trajectories(*group, records[group], counts[group], sample) for group in sorted(counts)])


def measure_top1(source: Source, store: Store) -> None:
    """The distribution of mean_top1_prob, and of top-1 probability over positions, by evolver and round."""
    begin_table(store)
    columns = [*GROUP, "mean_top1_prob", *COUNTS]
    missing = [pa.field(name, pa.list_(pa.int32())) for name in COUNTS if name not in source.schema.names]
    table = pa.Table.from_batches(list(source.batches(columns)))
    for field in missing:
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    end_table(store, [{"evolver": evolver, "round": number} | top1(part) for evolver, number, part in groups(table)])


def _trajectories(evolver: str, number: int, records: int, counts: Counter[str], sample: int) -> Entry:
    return {"evolver": evolver or None, "round": number, "n": records, **phrase_counts(counts, sample)}


def begin_table(store: Store) -> None:
    """Make the place ours and remove the table of before. Raises OutputError where anybody else's file is in it."""
    ownership.claim(store, "analysis")
    table = own_table(store)
    store.delete([SUCCESS])
    store.delete(table)


def end_table(store: Store, entries: list[Entry]) -> None:
    """Write the summary and, last, the mark of a finished analysis."""
    store.write_bytes(SUMMARY, encode_summary(entries))
    store.write_bytes(SUCCESS, b"")
