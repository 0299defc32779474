"""Writes the tables of columns in docs/ from the table in ray_jobs/output/columns.py.

    python tools/column_docs.py

A test keeps them equal, so whoever adds a column runs this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from ray_jobs.output.column import Column
from ray_jobs.output.columns import COLUMNS, DERIVED, HEADLINES

DOCS = Path(__file__).parents[1] / "docs"
TYPES = {pa.timestamp("us", tz="UTC"): "timestamp, UTC"}
BY_HAND = "another number in the data"
"""How the first row of the table of scores begins that is no column's."""


def lines_of(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Rows of a Markdown table."""
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]


def type_name(kind: pa.DataType) -> str:
    """A type in words."""
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else TYPES.get(kind, str(kind))


def kept_rows() -> Iterator[tuple[str, ...]]:
    """The columns of data/*.parquet."""
    for column in COLUMNS:
        if column.kept != "absent":
            yield f"`{column.name}`", type_name(column.type), column.meaning


def rejected_rows() -> Iterator[tuple[str, ...]]:
    """The columns of rejected/*.parquet that kept records lack, or that mean something else there."""
    for column in COLUMNS:
        if column.in_rejected:
            yield f"`{column.name}`", type_name(column.type), column.in_rejected


def score_rows() -> Iterator[tuple[str, ...]]:
    """What records can be selected by without naming an order, headlines first."""
    scores: list[Column] = [column for column in (*HEADLINES, *COLUMNS, *DERIVED) if column.order]
    for column in dict.fromkeys(scores):
        yield f"`{column.name}`", column.meaning, str(column.order)


def filled(page: str, heading: str, rows: Iterable[tuple[str, ...]]) -> str:
    """`page` with the rows of the first table under `heading` replaced, up to the end or the first row by hand."""
    start = page.index("\n", page.index("|---", page.index(f"\n{heading}\n"))) + 1
    end = re.compile(rf"(?=\n\n|\| {BY_HAND})").search(page, start - 1)
    assert end
    stop = end.start() if page[end.start()] == "|" else end.start() + 1
    return page[:start] + "\n".join(lines_of(rows)) + "\n" + page[stop:]


def pages() -> Mapping[Path, str]:
    """The pages with such tables, as they should be."""
    data = (DOCS / "data.md").read_text(encoding="utf-8")
    data = filled(data, "## `data/*.parquet`", kept_rows())
    data = filled(data, "## `rejected/*.parquet`", rejected_rows())
    using = (DOCS / "using_the_data.md").read_text(encoding="utf-8")
    return {DOCS / "data.md": data, DOCS / "using_the_data.md": filled(using, "## Select", score_rows())}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
