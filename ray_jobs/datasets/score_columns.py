"""The scores by which records can be selected: columns of the data, values derived from them, and analyses.

The default order of each is that of arXiv 2412.11231: the highest IFD, IC-IFD, difficulty and distance, the lowest
perplexity and length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evolve.confidence import BINS
from ray_jobs.datasets import analyses
from ray_jobs.datasets.analyses import id_bytes
from ray_jobs.datasets.rule import RANDOM
from ray_jobs.datasets.source import Source
from ray_jobs.errors import ConfigError
from ray_jobs.output.column import Column
from ray_jobs.output.columns import BY_NAME, DERIVED
from scoring.select import Order, Scores

WORKED_OUT = {column.name: column for column in DERIVED if column.order}


@dataclass(frozen=True)
class ScoreColumn:
    """A score: the columns that it is read from, how, and the order by which it ranks unless another is asked for."""

    name: str
    needs: Sequence[str]
    values: Callable[[pa.RecordBatch], Scores]
    """A float a record, NaN where it has no score."""
    order: Order | None


def summed_counts(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The sum, bin by bin, of lists of counts; records without counts left out."""
    lists = column.drop_null()
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    if not len(lists):
        return np.zeros(BINS, dtype=np.int64)
    counts = lists.flatten().to_numpy().reshape(len(lists), -1)
    return np.asarray(counts.sum(axis=0), dtype=np.int64)


def random_column(seed: int) -> ScoreColumn:
    """A number from 0 to 1 for each record, which its id and `seed` determine: the lowest are a random draw."""
    return ScoreColumn(RANDOM, ("record_id",), partial(_drawn, seed), "lowest")


def _drawn(seed: int, batch: pa.RecordBatch) -> Scores:
    key = str(seed).encode()
    ids = id_bytes(batch.column("record_id"))
    digests = b"".join(hashlib.blake2b(row, digest_size=8, key=key).digest() for row in ids.tolist())
    return np.frombuffer(digests, dtype=">u8").astype(np.float64) / 2.0**64


def score_column(source: Source, name: str) -> ScoreColumn:
    """The score of this name: a column of the data that has values, or else one of a table beside them.

    Raises ConfigError where there is none, naming those that there are.
    """
    if name in WORKED_OUT:
        return _of_the_data(WORKED_OUT[name])
    numbers = [field.name for field in source.schema if analyses.is_number(field.type)]
    if name in numbers and _has_values(source, name):
        return _of_the_data(_stored(name))
    beside = analyses.columns(source.store)
    if name in numbers and name not in beside:
        return _of_the_data(_stored(name))
    if name in beside:
        lookup = analyses.load(source.store, beside[name], name)
        order = _stored(name).order or "highest"
        return ScoreColumn(name, ("record_id",), lambda batch: lookup.of(batch.column("record_id")), order)
    known = [*WORKED_OUT, *numbers, *sorted(beside.keys() - numbers)]
    raise ConfigError(f"--by {name}: expected a score, one of {', '.join(known)}{_meant(name, known)}")


def require_scores(source: Source, column: ScoreColumn) -> None:
    """Raise ConfigError where no record has the score, naming the nearest of those that some have."""
    if any(not np.isnan(column.values(batch)).all() for batch in source.batches(column.needs)):
        return
    some = next(source.batches(), None)
    numbers = [field.name for field in source.schema if analyses.is_number(field.type)]
    filled = [name for name in numbers if some and some.column(name).null_count < some.num_rows]
    # an output of an earlier version lacks what some are worked out of
    there = [of for of in WORKED_OUT.values() if set(of.needs) <= set(source.schema.names)]
    worked_out = [of.name for of in there if some and not np.isnan(of.values(some)).all()]
    known = [*worked_out, *filled, *analyses.columns(source.store)]
    raise ConfigError(
        f"--by {column.name}: no record of {source.store.url} has this score{_meant(column.name, known)}; "
        f"records have {', '.join(known) or 'none at all'}"
    )


def _meant(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1, 0.4)
    return f"; did you mean {near[0]}?" if near else ""


def _stored(name: str) -> Column:
    """The column of this name as the table of all has it, or one that a user's own data have."""
    known = BY_NAME.get(name)
    return known if known and not known.derived else Column(name, pa.float64(), "reading")


def _of_the_data(column: Column) -> ScoreColumn:
    return ScoreColumn(column.name, column.needs, column.values, column.order)


def _has_values(source: Source, name: str) -> bool:
    return any(batch.column(name).null_count < batch.num_rows for batch in source.batches([name]))
