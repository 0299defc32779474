"""What a column of an output is: its place in the files, and how selection and page read, call and bin it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scoring.select import Order, Scores

Origin = Literal["round", "row", "run", "layout", "reading"]
"""Where a value comes from: a round or a row on its way, the run's settings, the step that lays rows out as records; or
it is worked out of other columns by whoever reads them, and stands in no file."""
Held = Literal["absent", "nullable", "required"]


@dataclass(frozen=True)
class Derivation:
    """A number worked out of the column `of`, or several: `values` gives a float a record, NaN where undefined."""

    of: tuple[str, ...]
    values: Callable[[pa.RecordBatch], Scores]


@dataclass(frozen=True)
class Column:
    """One column of the kept records, of the rejected ones, of an analysis, or one that readers work out.

    `meaning` is what docs/data.md says of it, `in_rejected` what it means in rejected records where that is something
    else. By default it stands in the kept records alone and may be null, as a score does.

    `order` is the end that selections keep unless told otherwise. Of those that are `summed` the manifest has sums, and
    of those with a `mean` the report has means as well. `analysis` names the analysis in whose table it stands too.
    """

    name: str
    type: pa.DataType
    origin: Origin
    meaning: str = ""
    kept: Held = "nullable"
    rejected: Held = "absent"
    in_rejected: str = ""
    order: Order | None = None
    summed: bool = False
    mean: bool = False
    analysis: str = ""
    derived: Derivation | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns of a file that its values are read from."""
        return self.derived.of if self.derived else (self.name,)

    def values(self, batch: pa.RecordBatch) -> Scores:
        """A float a record, NaN for null."""
        return self.derived.values(batch) if self.derived else floats(batch.column(self.name))

    @property
    def mean_name(self) -> str:
        """What its mean is called in report.json."""
        return self.name if self.name.startswith("mean_") else f"mean_{self.name}"


@dataclass(frozen=True)
class Scale:
    """`bins` bins of equal width from `low` to `high`; values outside fall into the first or the last."""

    low: float
    high: float
    bins: int

    @property
    def width(self) -> float:
        """The width of a bin."""
        return (self.high - self.low) / self.bins


@dataclass(frozen=True)
class Measure(Column):
    """A number that people look at: what it is called, its bins, and the decimals that are shown.

    `unit` stands behind values in words ("" for a ratio). A measure with a text `about` has a section of the page; a
    `headline` is shown wherever there is room for few.
    """

    label: str = field(kw_only=True)
    scale: Scale = field(kw_only=True)
    unit: str = ""
    decimals: int = 3
    about: str = ""
    headline: bool = False

    @property
    def axis(self) -> str:
        """The label with the unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def shown(self, value: float | None) -> str:
        """A value as text; a dash for none."""
        return "–" if value is None else f"{value:,.{self.decimals}f}"


def floats(values: pa.Array) -> Scores:
    """Numbers as floats, NaN for null."""
    return np.asarray(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def word_counts(texts: pa.Array) -> Scores:
    """The words between white space in each text, NaN for null."""
    trimmed = pc.utf8_trim_whitespace(texts)
    # an empty text splits into one empty piece
    words = pc.if_else(pc.equal(trimmed, ""), 0, pc.list_value_length(pc.utf8_split_whitespace(trimmed)))
    return floats(words)


def words_of(name: str) -> Derivation:
    """The words of a column of texts."""
    return Derivation((name,), lambda batch: word_counts(batch.column(name)))


def characters_of(name: str) -> Derivation:
    """The Unicode characters of a column of texts."""
    return Derivation((name,), lambda batch: floats(pc.utf8_length(batch.column(name))))


def perplexity_of(name: str) -> Derivation:
    """exp(L) of a column of losses in nats."""
    return Derivation((name,), lambda batch: floats(pc.exp(batch.column(name))))


def perplexity_ratio(above: str, below: str) -> Derivation:
    """exp(L) / exp(M) of two columns of losses in nats."""
    return Derivation(
        (above, below), lambda batch: floats(pc.exp(pc.subtract(batch.column(above), batch.column(below))))
    )
