"""The scores by which records can be selected: columns of the data, values derived from them, and analyses.

The default order of each is that of arXiv 2412.11231: the highest IFD, IC-IFD, difficulty and distance, the lowest
perplexity and length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evolve.confidence import BINS
from ray_jobs.datasets import analyses
from ray_jobs.datasets.analyses import id_bytes
from ray_jobs.datasets.rule import RANDOM
from ray_jobs.datasets.source import Source
from ray_jobs.errors import ConfigError
from scoring.select import Order, Scores


@dataclass(frozen=True)
class ScoreColumn:
    """A score: the columns that it is read from, how, and the order by which it ranks unless another is asked for."""

    name: str
    needs: Sequence[str]
    values: Callable[[pa.RecordBatch], Scores]
    """A float a record, NaN where it has no score."""
    order: Order | None


def _number(name: str) -> Callable[[pa.RecordBatch], Scores]:
    return lambda batch: floats(batch.column(name))


def floats(values: pa.Array) -> Scores:
    """Numbers as floats, NaN for null."""
    return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _ifd_ppl(batch: pa.RecordBatch) -> Scores:
    difference = pc.subtract(batch.column("loss_a_given_q"), batch.column("loss_a"))
    return floats(pc.exp(difference))


def _perplexity(batch: pa.RecordBatch) -> Scores:
    return floats(pc.exp(batch.column("loss_q")))


def _words(batch: pa.RecordBatch) -> Scores:
    return word_counts(batch.column("instruction"))


def summed_counts(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The sum, bin by bin, of lists of counts; records without counts left out."""
    lists = column.drop_null()
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    if not len(lists):
        return np.zeros(BINS, dtype=np.int64)
    counts = lists.flatten().to_numpy().reshape(len(lists), -1)
    return np.asarray(counts.sum(axis=0), dtype=np.int64)


def word_counts(texts: pa.Array) -> Scores:
    """The words between white space in each text, NaN for null."""
    trimmed = pc.utf8_trim_whitespace(texts)
    # an empty text splits into one empty piece
    words = pc.if_else(pc.equal(trimmed, ""), 0, pc.list_value_length(pc.utf8_split_whitespace(trimmed)))
    return floats(words)


def _characters(batch: pa.RecordBatch) -> Scores:
    return floats(pc.utf8_length(batch.column("instruction")))


DERIVED: Mapping[str, ScoreColumn] = {
    column.name: column
    for column in (
        # exp(L(A|Q)) / exp(L(A)), the ratio of perplexities that Superfiltering calls IFD (arXiv 2402.00530)
        ScoreColumn("ifd_ppl", ("loss_a_given_q", "loss_a"), _ifd_ppl, "highest"),
        ScoreColumn("perplexity", ("loss_q",), _perplexity, "lowest"),
        ScoreColumn("instruction_words", ("instruction",), _words, "lowest"),
        ScoreColumn("instruction_characters", ("instruction",), _characters, "lowest"),
    )
}


def random_column(seed: int) -> ScoreColumn:
    """A number from 0 to 1 for each record, which its id and `seed` determine: the lowest are a random draw."""
    return ScoreColumn(RANDOM, ("record_id",), partial(_drawn, seed), "lowest")


def _drawn(seed: int, batch: pa.RecordBatch) -> Scores:
    key = str(seed).encode()
    ids = id_bytes(batch.column("record_id"))
    digests = b"".join(hashlib.blake2b(row, digest_size=8, key=key).digest() for row in ids.tolist())
    return np.frombuffer(digests, dtype=">u8").astype(np.float64) / 2.0**64


ORDERS: Mapping[str, Order] = {
    "ic_ifd": "highest",
    "ifd": "highest",
    "reward": "highest",
    "loss_q": "lowest",
    "n_q": "lowest",
    "instruction_length": "lowest",
    "repeats": "lowest",
}


def score_column(source: Source, name: str) -> ScoreColumn:
    """The score of this name: a column of the data that has values, or else one of a table beside them.

    Raises ConfigError where there is none, naming those that there are.
    """
    if name in DERIVED:
        return DERIVED[name]
    numbers = [field.name for field in source.schema if analyses.is_number(field.type)]
    if name in numbers and _has_values(source, name):
        return _of_the_data(name)
    beside = analyses.columns(source.store)
    if name in numbers and name not in beside:
        return _of_the_data(name)
    if name in beside:
        lookup = analyses.load(source.store, beside[name], name)
        return ScoreColumn(
            name, ("record_id",), lambda batch: lookup.of(batch.column("record_id")), ORDERS.get(name, "highest")
        )
    known = ", ".join([*DERIVED, *numbers, *sorted(beside.keys() - numbers)])
    raise ConfigError(f"--by {name}: expected a score, one of {known}")


def _of_the_data(name: str) -> ScoreColumn:
    return ScoreColumn(name, (name,), _number(name), ORDERS.get(name))


def _has_values(source: Source, name: str) -> bool:
    return any(batch.column(name).null_count < batch.num_rows for batch in source.batches([name]))
