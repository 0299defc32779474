"""Analyses that need no model, and so no cluster."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.datasets.source import open_source
from ray_jobs.errors import OutputError
from ray_jobs.jobs.analysis.planning import with_trajectories
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import Record, write_output
from tests.ray_jobs.jobs.analysis.measured import RECORDS, config, quiet, rows


def test_top1_and_trajectories_read_the_data_alone(tmp_path: Path) -> None:
    def changed(item: Record) -> Record:
        if item["evolver"] != "small":
            return item
        methods = ["Narrow it", f"Topic {item['plan_row'] % 4}: x"]
        return {
            **item,
            "mean_top1_prob": item["plan_row"] / 20 + 0.01,
            "trajectory": json.dumps({"methods": methods, "plan": ""}),
        }

    source = tmp_path / "run"
    write_output(open_store(str(source)), [[changed(item) for item in RECORDS]])
    top1 = {(item["evolver"], item["round"]): item for item in quiet(config(source, "top1"))}
    values = np.arange(0, 20, 2) / 20 + 0.01
    assert top1["small", 1]["n"] == 10
    assert top1["small", 1]["mean_top1_prob"] == pytest.approx(values.mean())
    assert top1["small", 1]["quantiles"]["0.5"] == pytest.approx(np.median(values))
    assert top1["small", 1]["histogram"] == [1, 0] * 10
    assert top1["large", 1]["n"] == 0
    assert top1["large", 1]["mean_top1_prob"] is None
    ways = {(item["evolver"], item["round"]): item for item in quiet(config(source, "trajectories"))}
    assert (ways["small", 1]["phrases"], ways["small", 1]["distinct"]) == (20, 3)
    assert (ways["large", 1]["phrases"], ways["large", 1]["distinct"], ways["large", 1]["sample"]) == (10, 1, 10)
    assert ways["small", 1]["expected_distinct"] < 3
    phrases = {row["record_id"]: row["phrases"] for row in rows(source, "trajectories")}
    assert len(phrases) == 60
    assert phrases[RECORDS[0]["record_id"]] == ["narrow", "topic 0"]
    assert not (source / "analyses/top1/data").exists()


def test_records_that_do_not_tell_how_they_were_evolved_have_no_key_phrases(source: Path) -> None:
    with pytest.raises(OutputError, match="trajectory"):
        list(with_trajectories(open_source(open_store(str(source)))))


@pytest.mark.parametrize("kind", ["top1", "trajectories"])
def test_a_file_of_somebody_else_in_a_table_is_told_and_stays(source: Path, kind: str) -> None:
    quiet(config(source, kind))
    mine = source / "analyses" / kind / "data" / "mine.parquet"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"found data/mine\.parquet, which no analysis has written"):
        quiet(config(source, kind))
    assert mine.read_bytes() == b"mine"


def test_a_folder_of_somebody_else_takes_no_analysis(source: Path) -> None:
    notes = source / "analyses" / "top1" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    with pytest.raises(OutputError, match=r"expected an empty or a new place.*notes\.txt"):
        quiet(config(source, "top1"))
    assert [path.name for path in notes.parent.iterdir()] == ["notes.txt"]
