"""The table of columns: what is drawn from it, and that an entry is all that a new score needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.output.column import Column, Measure
from ray_jobs.output.columns import BY_NAME, COLUMNS, DERIVED, HEADLINES, MEANS, SUMMED
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from tools.column_docs import pages

ROOT = Path(__file__).parents[3]
FIRST = ROOT / "tests" / "fixtures" / "outputs" / "evol_instruct" / "out"
NOVELTY = """
    Measure("novelty", FLOAT, "round", "how new it is", order="lowest", mean=True, label="Novelty", scale=RATIOS,
            unit="points", decimals=1, headline=True, about="How new an instruction is."),
"""
PROGRAM = """
import sys
import ray_jobs
assert ray_jobs.__file__.startswith(sys.argv[1]), ray_jobs.__file__
from ray_jobs import open_output, select
from ray_jobs.cli import main
from ray_jobs.output import accept
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import record, write_output
from tests.ray_jobs.samples import finished, kept_round, outcomes

kept, _ = outcomes(finished({0: [kept_round(novelty=0.25)]}))
assert kept["novelty"].to_pylist() == [0.25]
write_output(open_store("out"), [[record(number, novelty=number / 10) for number in range(9)]])
counts = accept.load(open_store("out")).manifest.outcome_counts()
assert counts.mean(("small", 1), "novelty") is not None
select("out", "best", by="novelty", top=2, say=lambda line: None)
assert open_output("best").table()["novelty"].to_pylist() == [0.0, 0.1]
main(["report", "out", "--to", "page"])
"""


def test_names_are_unique_and_every_column_is_told_of() -> None:
    assert len(BY_NAME) == len({column.name for column in BY_NAME.values()})
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert [column.name for column in COLUMNS if not (column.meaning or column.in_rejected)] == []
    assert all(column.kept != "absent" or column.rejected != "absent" for column in COLUMNS)


@pytest.mark.parametrize(("folder", "schema"), [("data", RECORD_SCHEMA), ("rejected", REJECTED_SCHEMA)])
def test_the_columns_of_the_first_version_are_there_in_their_order(folder: str, schema: pa.Schema) -> None:
    first = pq.read_table(FIRST / folder).schema
    assert [field for field in schema if field.name in first.names] == list(first)


def test_sums_means_and_headlines_are_those_of_scores() -> None:
    numbers = {
        column.name for column in COLUMNS if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    }
    assert set(SUMMED) <= numbers
    assert {column.name for column in MEANS} <= set(SUMMED)
    assert [item.mean_name for item in MEANS][:2] == [f"mean_{item.name}" for item in HEADLINES]


def test_a_number_that_is_worked_out_says_of_which_columns() -> None:
    stored = {column.name for column in COLUMNS}
    assert all(set(column.needs) <= stored for column in DERIVED)
    batch = pa.RecordBatch.from_pydict({"loss_a_given_q": [0.0, None], "loss_a": [0.0, 1.0], "output": ["a b", None]})
    assert BY_NAME["ifd_ppl"].values(batch)[0] == 1
    assert BY_NAME["output_words"].values(batch)[0] == 2
    assert np.isnan(BY_NAME["ifd_ppl"].values(batch)[1])


def test_a_measure_is_shown_with_its_decimals_and_unit() -> None:
    measure = next(item for item in BY_NAME.values() if isinstance(item, Measure) and item.unit)
    assert measure.unit in measure.axis
    assert len(measure.shown(1 / 3).split(".")[1]) == measure.decimals
    assert measure.shown(None) == "–"
    assert Column("mean_x", pa.int32(), "round").mean_name == "mean_x"


def test_the_documentation_has_the_tables_as_they_are() -> None:
    for path, expected in pages().items():
        assert path.read_text(encoding="utf-8") == expected, "`python tools/column_docs.py` writes them"


@pytest.mark.slow
def test_a_new_score_is_one_entry_of_the_table(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "ray_jobs", tmp_path / "ray_jobs")
    table = tmp_path / "ray_jobs" / "output" / "columns.py"
    before, note, after = table.read_text(encoding="utf-8").partition('    Column("score_note"')
    assert note
    table.write_text(before + NOVELTY.lstrip("\n") + note + after, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin", "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "page").glob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "How new an instruction is." in text
    assert "Novelty (points): mean and percentiles" in text
