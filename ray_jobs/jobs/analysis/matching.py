"""The records that meet in a comparison: of the same seed, round and sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray_jobs.datasets.source import Source
from ray_jobs.errors import ConfigError, OutputError
from ray_jobs.jobs.analysis.config import WinConfig
from ray_jobs.jobs.analysis.planning import COLUMNS, Row
from ray_jobs.seeds.read import seed_id

Key = tuple[str, int, int | None, str | None]


def pairs(source: Source, other: Source, config: WinConfig) -> Iterator[list[Row]]:
    """The records of `source`, each with the one of `other` that it meets; those that meet none are left out.

    The texts of the other side are held in memory. Of several records that could be met the first is. Raises
    ConfigError where an output would meet itself, OutputError where no record meets any.
    """
    if other.store.url == source.store.url and config.evolver == config.other_evolver:
        raise ConfigError("win: the output would be compared with itself; expected `against`, or two evolvers of it")
    by_evolver = config.evolver is None and config.other_evolver is None
    others: dict[Key, Row] = {}
    for record in _records(other, config.other_evolver):
        others.setdefault(_key(record, by_evolver), record)
    found = False
    for batch in source.batches(COLUMNS):
        wanted = _of(batch.to_pylist(), config.evolver)
        rows = [_row(record, met) for record in wanted if (met := others.get(_key(record, by_evolver))) is not None]
        found = found or bool(rows)
        yield rows
    if not found:
        raise OutputError(
            f"{source.store.url}: none of its records has a counterpart of the same seed, round and sample"
            f"{' and evolver' if by_evolver else ''} in {other.store.url}"
        )


def _records(source: Source, evolver: str | None) -> Iterator[Row]:
    for batch in source.batches(COLUMNS):
        yield from _of(batch.to_pylist(), evolver)


def _of(records: list[Row], evolver: str | None) -> list[Row]:
    return [record for record in records if evolver is None or record["evolver"] == evolver]


def _key(record: Row, by_evolver: bool) -> Key:
    # not the record's own seed_id, which in a set of scored pairs tells answers to one instruction apart
    seed = seed_id(record["seed_instruction"], record["input"])
    return seed, record["round"], record["sample"], record["evolver"] if by_evolver else None


def _row(record: Row, other: Row) -> dict[str, Any]:
    own = {
        name: record[name] for name in ("record_id", "seed_id", "evolver", "round", "instruction", "input", "output")
    }
    return own | {f"other_{name}": other[name] for name in ("record_id", "instruction", "input", "output")}
