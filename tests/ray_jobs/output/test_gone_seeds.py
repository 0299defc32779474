"""What becomes of planned rows whose seed is gone or corrected: named, kept or retracted, and a bad line run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.cli.status import describe, status
from ray_jobs.config.identity import changes
from ray_jobs.config.run import ScoreConfig
from ray_jobs.errors import SeedsChanged, SettingsChanged
from ray_jobs.jobs.score_pairs import ScorePairsJob
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.epochs import begin
from ray_jobs.output.file_names import DATA, REJECTED
from ray_jobs.output.lease import take
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.run_files import read_json
from ray_jobs.output.verify import verify
from ray_jobs.runner.drive import Drive
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import commit_rows, finished, kept_round, run_config, unreadable_round, write_seeds

RIVERS = [f"Name river {number}." for number in range(5)]


class Runs:
    """Runs of one scripted evolver on the seeds of a folder, without its engines."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.said = folder, open_store(str(folder / "out")), list[str]()

    def run(self, seeds: Sequence[Any] | None = None, stop: bool = False, **options: Any) -> dict[str, Any]:
        """Write `seeds` and run; `stop` ends it before any row is worked on."""
        path = self.folder / "seeds.jsonl"
        if seeds is not None:
            write_seeds(path, seeds)
        engine = {"engine": {"kind": "scripted"}, "pool": {"size": 1}}
        job = SynthesisJob(
            run_config(self.folder, evolvers={"a": engine}, strategy={"rounds": 1}, seeds={"path": str(path)} | options)
        )
        epoch = begin(self.store, take(self.store))

        def execute(plan: PlanIndex, done: np.ndarray[Any, np.dtype[np.bool_]], number: int) -> None:
            if stop:
                raise KeyboardInterrupt
            for row in np.flatnonzero(~done).tolist():
                bad = any(file.evolver == "_unreadable" and file.first <= row < file.end for file in plan.files)
                rounds = [unreadable_round() if bad else kept_round()]
                commit_rows(epoch, finished({row: rounds}, None if bad else "a"))

        self.said.clear()
        return Drive(job, epoch, execute, lambda: None, lambda: None, self.said.append).complete()

    def rows(self, folder: str) -> list[int]:
        """The plan's numbers of the records that plain readers see."""
        paths = [path for path, _ in self.store.list(folder)]
        tables = [pq.read_table(pa.BufferReader(self.store.read_bytes(path))) for path in paths]
        return sorted(row for table in tables for row in table["plan_row"].to_pylist())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_rows_whose_seed_is_gone_end_a_run_which_names_them(runs: Runs) -> None:
    runs.run(RIVERS)
    with pytest.raises(SeedsChanged, match=r"2 seeds.*2 rows(.|\n)*river 3(.|\n)*seeds.gone=keep(.|\n)*=retract"):
        runs.run([*RIVERS[:3], "Name a lake."])
    found = accept.load(runs.store).index
    assert (found.rows, found.seeds) == (5, 5), "nothing of a refused run is planned"


def test_rows_are_kept_by_a_word_and_not_asked_about_again(runs: Runs) -> None:
    runs.run(RIVERS)
    report = runs.run([*RIVERS[:3], "Name a lake."], gone="keep")
    assert report["records"]["kept"] == 6
    runs.run()


def test_rows_are_retracted_by_a_word_and_their_records_leave(runs: Runs) -> None:
    runs.run(RIVERS)
    report = runs.run([*RIVERS[:3], "Name a lake."], gone="retract")
    assert report["reconciles"]
    assert (report["rows"], report["records"]["kept"]) == ({"planned": 4, "done": 4}, 4)
    assert (report["seeds"]["usable"], report["seeds"]["gone"]) == (4, 2)
    assert runs.rows(DATA) == [0, 1, 2, 5]
    verdict = verify(runs.store)
    assert (verdict.rows, verdict.done, verdict.finished, verdict.problems) == (4, 4, True, [])
    assert "2 gone" in describe(status(runs.store))
    assert runs.run()["rows"]["planned"] == 4


def test_a_run_that_is_cut_short_after_retracting_is_mended_by_the_next(runs: Runs) -> None:
    runs.run(RIVERS)
    with pytest.raises(KeyboardInterrupt):
        runs.run([*RIVERS[:3], "Name a lake."], gone="retract", stop=True)
    assert accept.load(runs.store).index.retracted.tolist() == [3, 4]
    runs.run()
    assert runs.rows(DATA) == [0, 1, 2, 5]


def test_a_seed_that_is_back_is_planned_again(runs: Runs) -> None:
    runs.run(RIVERS)
    runs.run(RIVERS[:3], gone="retract")
    report = runs.run(RIVERS)
    assert (report["rows"], report["seeds"]["usable"]) == ({"planned": 5, "done": 5}, 5)
    assert runs.rows(DATA) == [0, 1, 2, 5, 6]
    assert verify(runs.store).problems == []


def test_a_corrected_bad_line_is_run_and_its_failed_row_leaves_unasked(runs: Runs) -> None:
    report = runs.run([*RIVERS, {"instruction": 7}])
    assert (report["records"]["failed"], runs.rows(REJECTED)) == (1, [5])
    report = runs.run([*RIVERS, "Name river 7."])
    assert report["records"] == {"planned": 6, "kept": 6, "rejected": 0, "failed": 0}
    assert report["seeds"]["unreadable"] == {}
    assert (runs.rows(DATA), runs.rows(REJECTED)) == ([0, 1, 2, 3, 4, 6], [])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"columns": {"instruction": "title"}}, 'columns.instruction: "instruction" before, "title" now'),
        ({"columns": {"input": ""}}, "seeds.columns.input"),
        ({"layout": "messages"}, "seeds.layout"),
    ],
)
def test_another_mapping_of_the_seeds_is_refused(runs: Runs, options: dict[str, Any], named: str) -> None:
    runs.run([{"instruction": "Name a river.", "title": "Rivers"}])
    with pytest.raises(SettingsChanged, match=named):
        runs.run(**options)


def test_pairs_are_not_scored_again_under_other_columns() -> None:
    def noted(**columns: str) -> dict[str, Any]:
        seeds = {"path": "pairs.jsonl", "columns": columns}
        scorer = {"kind": "scripted"}
        return ScorePairsJob(ScoreConfig.model_validate({"output": "out", "seeds": seeds, "scorer": scorer})).noted()

    assert changes(noted(), noted(output="response")) == ['seeds.columns.output: "output" before, "response" now']


def test_the_default_mapping_may_be_spelt_out_and_columns_that_are_not_read_may_change(runs: Runs) -> None:
    runs.run([{"instruction": "Name a river.", "answer": "Nile"}])
    runs.run(columns={"instruction": "instruction", "output": "answer"})


def test_an_output_that_was_begun_before_mappings_were_noted_is_compared_by_its_configuration(runs: Runs) -> None:
    runs.run(RIVERS[:2])
    epoch = begin(runs.store, take(runs.store))
    epoch.settle({name: value for name, value in (epoch.accepted.settings or {}).items() if name[:6] != "seeds."})
    runs.run()
    epoch = begin(runs.store, take(runs.store))
    epoch.settle({name: value for name, value in (epoch.accepted.settings or {}).items() if name[:6] != "seeds."})
    with pytest.raises(SettingsChanged, match=r"seeds\.columns\.instruction"):
        runs.run(columns={"instruction": "title"})


def test_the_mapping_is_no_part_of_the_runs_id(runs: Runs) -> None:
    runs.run(RIVERS[:1])
    assert not [name for name in read_json(runs.store, "run.json")["result_settings"] if name.startswith("seeds")]
