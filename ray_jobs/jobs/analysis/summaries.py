"""summary.json: what an analysis found, by evolver and round."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evolve.confidence import BINS
from evolve.judging.difficulty import LABELS
from evolve.strategies.trajectories import expected_distinct
from ray_jobs.datasets.score_columns import summed_counts
from ray_jobs.errors import OutputError
from ray_jobs.jobs.analysis.statistics import Numbers, mean, quantiles, share
from ray_jobs.output import accept, ownership
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.file_names import DATA
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.storage.store import Store

SUMMARY = "summary.json"
GROUP = ("evolver", "round")
Entry = dict[str, Any]
Statistics = Callable[[pa.Table], Entry]


def pool_summary(store: Store, name: str) -> list[Entry]:
    """The summary of what a pool has committed, with the replies that said nothing, and failures, counted."""
    columns, statistics = POOLED[name]
    found = accept.load(store).manifest
    outcome_counts = found.outcome_counts()
    paths = [part.path for entry in found.entries for part in entry.files if part.folder == DATA]
    table = read_files(store, paths, [*GROUP, *columns])
    entries = []
    for evolver, number in outcome_counts.groups():
        counts = _counts(outcome_counts, evolver, number)
        item = {"evolver": evolver or None, "round": number, "n": counts[KEPT]}
        item |= {"unreadable": counts[REJECTED], "failed": counts[FAILED]}
        entries.append(item | statistics(of_group(table, evolver or None, number)))
    return entries


def encode_summary(entries: Sequence[Entry]) -> bytes:
    """The content of summary.json."""
    return json.dumps(list(entries), indent=1).encode()


def own_table(store: Store) -> list[str]:
    """The files of the table in `store`. Raises OutputError where others lie among them, which readers would take."""
    paths = [path for path, _ in store.list(DATA)]
    if strangers := ownership.foreign(paths, "analysis"):
        raise OutputError(
            f"{store.url}: found {ownership.named(strangers)}, which no analysis has written; move it away"
        )
    return paths


def read_files(store: Store, paths: Sequence[str], columns: Sequence[str]) -> pa.Table:
    """These columns of all records in the files; nulls where a file is older than a column."""
    tables = [pa.table({name: pa.array([], pa.null()) for name in columns})]
    for path in sorted(paths):
        with store.open_input(path) as opened, pq.ParquetFile(opened) as file:
            tables.append(file.read([name for name in columns if name in file.schema_arrow.names]))
    return pa.concat_tables(tables, promote_options="default")


def groups(table: pa.Table) -> Iterator[tuple[str | None, int, pa.Table]]:
    """The records of each evolver and round, the seeds first."""
    pairs = table.select(list(GROUP)).group_by(list(GROUP)).aggregate([]).to_pylist()
    for pair in sorted(pairs, key=lambda item: (item["evolver"] or "", item["round"])):
        yield pair["evolver"], pair["round"], of_group(table, pair["evolver"], pair["round"])


def of_group(table: pa.Table, evolver: str | None, number: int) -> pa.Table:
    """The records of one evolver and round; those without an evolver of None."""
    if not table.num_rows:
        return table
    own = pc.is_null(table["evolver"]) if evolver is None else pc.fill_null(pc.equal(table["evolver"], evolver), False)
    return table.filter(pc.and_(own, pc.equal(table["round"], number)))


def numbers(table: pa.Table, name: str) -> Numbers:
    """A column as floats, nulls left out."""
    column = table[name].drop_null().cast(pa.float64())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def difficulty(table: pa.Table) -> Entry:
    """Counts by label, and the mean level, as the judge said it and as it is to be expected."""
    labels = table["difficulty_label"].to_pylist()
    level = mean("mean_level", numbers(table, "difficulty_level"))
    return {"labels": {label: labels.count(label) for label in LABELS}, **level, **expected(table, "expected_level")}


def difficulty_score(table: pa.Table) -> Entry:
    """The mean score, as the judge said it and as it is to be expected."""
    return mean("mean_score", numbers(table, "difficulty_score")) | expected(table, "expected_score")


def win(table: pa.Table) -> Entry:
    """Counts by verdict; a tie is half a win in the rate."""
    verdicts = table["verdict"].to_pylist()
    counts = {verdict: verdicts.count(verdict) for verdict in ("win", "tie", "lose")}
    disagreed = table["agreed"].to_pylist().count(False)
    rate = share("win_rate", counts["win"] + counts["tie"] / 2, len(verdicts))
    return {**counts, "disagreed": disagreed, **rate, **expected(table, "expected_win_score")}


def expected(table: pa.Table, column: str) -> Entry:
    """The mean of the expected values in `column`, and of how many records; nothing where no record has one."""
    values = numbers(table, column)
    return {"weighed": len(values), **mean(f"mean_{column}", values)} if len(values) else {}


def reward(column: str, table: pa.Table) -> Entry:
    """The distribution of the rewards in `column`."""
    values = numbers(table, column)
    return {**mean(f"mean_{column}", values), **quantiles(values)}


def diversity(table: pa.Table) -> Entry:
    """The distances, and how many records have others near them."""
    distances, repeats = numbers(table, "neighbour_distance"), numbers(table, "repeats")
    return {
        "n": table.num_rows,
        **mean("mean_neighbour_distance", distances),
        **quantiles(distances),
        "mean_repeats": float(repeats.mean()),
        **share("repeated", int((repeats > 0).sum()), table.num_rows),
    }


def top1(table: pa.Table) -> Entry:
    """The distribution of the mean top-1 probability over records, and of the probability over positions."""
    values = numbers(table, "mean_top1_prob")
    histogram = np.histogram(values, BINS, (0.0, 1.0))[0].tolist()
    first, rest = (summed_counts(table[name]) for name in ("top1_counts_first", "top1_counts_rest"))
    return {
        "n": len(values),
        **mean("mean_top1_prob", values),
        **quantiles(values),
        "histogram": histogram,
        "positions": (first + rest).tolist(),
        "first_positions": first.tolist(),
    }


def key_phrases(table: pa.Table) -> Entry:
    """The phrases with how often each occurs."""
    return {"counts": dict(Counter(item for own in table["phrases"].to_pylist() for item in own))}


def phrase_counts(counts: Counter[str], sample: int) -> Entry:
    """All phrases, the distinct ones, and how many distinct ones `sample` draws would hold."""
    return {
        "phrases": counts.total(),
        "distinct": len(counts),
        "sample": sample,
        "expected_distinct": expected_distinct(counts, min(sample, counts.total())),
    }


def embeddings(table: pa.Table) -> Entry:
    """How many texts were longer than the encoder reads."""
    return {"truncated": table["truncated"].to_pylist().count(True)}


POOLED: Mapping[str, tuple[tuple[str, ...], Statistics]] = {
    "difficulty": (("difficulty_label", "difficulty_level", "expected_level"), difficulty),
    "difficulty_score": (("difficulty_score", "expected_score"), difficulty_score),
    "win": (("verdict", "agreed", "expected_win_score"), win),
    "reward": (("reward",), partial(reward, "reward")),
    "evolution_reward": (("evolution_reward",), partial(reward, "evolution_reward")),
    "key_phrases": (("phrases",), key_phrases),
    "embeddings": (("truncated",), embeddings),
}


def _counts(outcome_counts: OutcomeCounts, evolver: str, number: int) -> dict[str, int]:
    counts = {KEPT: 0, REJECTED: 0, FAILED: 0}
    for (name, place, status, _), count in outcome_counts.outcomes.items():
        if (name, place) == (evolver, number):
            counts[status] += count
    return counts
