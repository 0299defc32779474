"""Outputs of version 0.1.0 under the code of today: see tests/fixtures/README.md.

A setting, a column or a file that a later version adds may make none of these refuse, or give other records.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from ray_jobs.cli.app import main
from ray_jobs.config.load import read_config
from ray_jobs.config.run import RunConfig, ScoreConfig
from ray_jobs.jobs.earlier_defaults import as_begun, with_defaults_of
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.score_pairs import ScorePairsJob
from ray_jobs.output.run_files import SET_BACK
from ray_jobs.runner.run import run

OUTPUTS = Path(__file__).parents[1] / "fixtures" / "outputs"
ANALYSIS = "evol_instruct/out/analyses/difficulty_score"
FINISHED = ("evol_instruct/out", ANALYSIS, "score_pairs/out", "autoif/out")
INTERRUPTED = ("evol_instruct/killed", "auto_evol/killed", "autoif/stopped")

starts_ray = pytest.mark.usefixtures("local_ray")
"""The tests that go on with a run."""


@pytest.fixture(autouse=True)
def _copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of all outputs, in the working folder, for their configurations hold relative paths."""
    shutil.copytree(OUTPUTS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def evolve(*arguments: str) -> None:
    """An `evolve` command that must succeed."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code


def rounded(value: Any) -> Any:
    """Sums of the same numbers in another order differ in their last digits."""
    return json.loads(json.dumps(value), parse_float=lambda text: round(float(text), 9))


def golden(folder: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((OUTPUTS / folder / "golden.json").read_text(encoding="utf-8"))
    return content


def golden_records(folder: str, inside: str = ".") -> dict[str, dict[str, Any]]:
    return {item["record_id"]: item for item in golden(folder)["records"][inside]}


def raw_records(output: str | Path) -> dict[str, dict[str, Any]]:
    """All records of an output as its readers find them, with a status; none may be there twice."""
    found = list[dict[str, Any]]()
    for folder in ("data", "rejected"):
        for path in Path(output, folder).glob("*.parquet"):
            found += [{"status": "kept", **row} for row in pq.read_table(path).to_pylist()]
    by_id = {item["record_id"]: item for item in found}
    assert len(by_id) == len(found)
    return by_id


def assert_golden(output: str, inside: str = ".") -> None:
    """The output holds the golden records, and its report the golden figures."""
    folder = output.split("/")[0]
    expected, found = golden_records(folder, inside), raw_records(Path(output, inside))
    assert found.keys() == expected.keys()
    for record_id, record in expected.items():
        assert {name: found[record_id][name] for name in record} == record
    if inside == "." and "report" in golden(folder):
        report = json.loads(Path(output, "report.json").read_text(encoding="utf-8"))
        stats = golden(folder)["report"]
        # later versions tell more of seeds, and of groups
        report["seeds"] = {name: report["seeds"][name] for name in stats["seeds"]}
        for now, then in zip(report.get("groups", ()), stats.get("groups", ()), strict=False):
            for name in now.keys() - then.keys():
                del now[name]
        assert rounded({name: report[name] for name in stats}) == rounded(stats)


def files(output: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in Path(output).rglob("*.parquet")}


@pytest.mark.parametrize("output", [*FINISHED, *INTERRUPTED])
def test_they_are_sound_and_say_how_they_stand(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    evolve("verify", output)
    told = capsys.readouterr().out
    assert "no problem found" in told
    assert ("not finished" in told) == (output in INTERRUPTED)
    evolve("status", output)
    told = capsys.readouterr().out
    assert "rows" in told


def test_they_go_on_under_the_defaults_that_they_were_begun_with() -> None:
    run = load_config(Path("evol_instruct/run.yaml"), output="evol_instruct/killed")
    begun, set_back = as_begun(run)
    assert isinstance(begun, RunConfig)
    strategy = begun.strategy
    assert (begun.confidence_share, strategy.elimination.leaked_reasoning, strategy.forms) == (1, False, False)
    assert set_back.keys() >= {"confidence_share", "strategy.elimination.leaked_reasoning"}
    fresh = load_config(Path("evol_instruct/run.yaml"), output="elsewhere")
    assert as_begun(fresh) == (fresh, {})
    # a value that the configuration gives is compared with the output's as any other
    given = load_config(Path("evol_instruct/run.yaml"), ["confidence_share=0.5"], "evol_instruct/killed")
    assert as_begun(given)[0].confidence_share == 0.5


def test_they_go_on_so_again_once_run_json_is_of_today() -> None:
    """Each run writes it anew, with the values that were set back among those that were given."""
    run = load_config(Path("evol_instruct/run.yaml"), output="evol_instruct/killed")
    begun, set_back = as_begun(run)
    written = {"configuration": begun.model_dump(mode="json"), SET_BACK: sorted(set_back)}
    assert with_defaults_of(run, written) == (begun, set_back)
    assert with_defaults_of(begun, written) == (begun, set_back)
    # begun today with these values given, it is compared as they stand
    assert with_defaults_of(run, {"configuration": written["configuration"]}) == (run, {})


@pytest.mark.parametrize("output", ["evol_instruct/out", "evol_instruct/killed", "score_pairs/out"])
def test_their_rows_are_shown(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    evolve("show", output, "--rows", "100")
    told = set(capsys.readouterr().out.split())
    kept = [record["instruction"] for record in raw_records(output).values() if record["status"] == "kept"]
    assert kept
    assert all(told.issuperset(instruction.split()) for instruction in kept)


def test_the_best_are_selected_and_exported_as_before() -> None:
    by = ("--by", "ic_ifd", "--top", "50%", "--per", "evolver,round")
    evolve("select", "evol_instruct/out", "best", *by)
    assert raw_records("best").keys() == golden_records("selection").keys()
    evolve("export", "selection/out", "sft", "--format", "alpaca")
    exported = Path("train/00000.jsonl")
    assert ("sft" / exported).read_bytes() == ("selection/export" / exported).read_bytes()


def test_an_analysis_is_selected_by() -> None:
    evolve("select", "evol_instruct/out", "hard", "--by", "difficulty_score", "--top", "5")
    scores = {
        name: record["difficulty_score"] for name, record in raw_records(ANALYSIS).items() if record["status"] == "kept"
    }
    kept = ds.dataset("hard/data").to_table()["record_id"].to_pylist()
    known = [scores[name] for name, record in raw_records("evol_instruct/out").items() if name in scores]
    assert sorted(scores[item] for item in kept) == sorted(known)[-5:]


@pytest.mark.slow
@pytest.mark.parametrize("output", ["evol_instruct/out", "score_pairs/out", "autoif/out"])
def test_a_page_is_made_of_them(output: str) -> None:
    evolve("report", output, "--to", "page")
    (page,) = Path("page").glob("*.html")
    assert "<html" in page.read_text(encoding="utf-8")


@starts_ray
@pytest.mark.parametrize("output", INTERRUPTED)
def test_an_interrupted_run_goes_on_to_the_same_records(output: str) -> None:
    before = raw_records(output)
    evolve("run", f"{output.split('/')[0]}/run.yaml", "--output", output)
    assert_golden(output)
    evolve("verify", output)
    after = raw_records(output)
    assert {name: after[name]["created_at"] for name in before} == {
        name: item["created_at"] for name, item in before.items()
    }


def assert_as_then(output: str, then: str) -> None:
    """The records of `then` are in `output`, all columns of them alike but those that name moments and settings."""
    expected, found = raw_records(then), raw_records(output)
    assert found.keys() == expected.keys()
    for record_id, record in expected.items():
        again = {name: found[record_id][name] for name in record}
        for row in (record, again):
            del row["created_at"], row["run_id"]
            if (row.get("error") or "").startswith("/"):
                # a bad seed's error begins with the whole path of its file
                row["error"] = row["error"].partition("seeds.jsonl")[2]
        assert again == record


@starts_ray
def test_autoif_begun_today_under_the_settings_of_then_gives_the_same() -> None:
    before = [part for name in ("forms", "leaked_reasoning") for part in ("--set", f"strategy.{name}=false")]
    Path("fresh").mkdir()
    evolve("run", "autoif/run.yaml", "--output", "fresh/autoif", *before)
    for inside in golden("autoif")["records"]:
        assert_as_then(f"fresh/autoif/{inside}", f"autoif/out/{inside}")
    report = json.loads(Path("fresh/autoif/report.json").read_text(encoding="utf-8"))
    assert rounded(report["funnel"]) == rounded(golden("autoif")["report"]["funnel"])


@starts_ray
def test_pairs_scored_today_have_the_scores_of_then() -> None:
    config = read_config(ScoreConfig, Path("score_pairs/score.yaml")).model_copy(update={"output": "fresh"})
    run(ScorePairsJob(config), say=lambda _: None)
    assert_as_then("fresh", "score_pairs/out")


@starts_ray
@pytest.mark.parametrize("name", ["evol_instruct", "autoif"])
def test_a_finished_run_is_left_as_it_is(name: str) -> None:
    before = files(f"{name}/out")
    evolve("run", f"{name}/run.yaml")
    assert files(f"{name}/out") == before
    for inside in golden(name)["records"]:
        assert_golden(f"{name}/out", inside)


@starts_ray
@pytest.mark.parametrize(
    ("output", "given"),
    [
        ("evol_instruct/out", ["--config", "evol_instruct/run.yaml"]),
        ("autoif/out", []),
        ("score_pairs/out", []),
        (ANALYSIS, []),
    ],
)
def test_failed_rows_run_again_and_fail_again(
    output: str, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = raw_records(output).values()
    # a seed that cannot be read is no work of an engine
    failed = {row["row_id"] for row in rows if row["status"] == "failed" and row["stage"] != "read"}
    evolve("retry-failed", output, *given)
    assert f"{len(failed):,} failed rows" in capsys.readouterr().out
    if output == ANALYSIS:
        assert_golden("evol_instruct/out", "analyses/difficulty_score")
    else:
        assert_golden(output)


@starts_ray
def test_an_analysis_goes_on() -> None:
    before = files(ANALYSIS)
    settings = ("--config", "evol_instruct/judge.yaml")
    evolve("analyse", "evol_instruct/out", "difficulty_score", *settings)
    assert files(ANALYSIS) == before
    # records that are there no more are no matter; those that come later are measured
    shutil.copytree("evol_instruct/killed", "evol_instruct/fresh")
    evolve("analyse", "evol_instruct/fresh", "difficulty_score", *settings)
    expected = golden_records("evol_instruct", "analyses/difficulty_score")
    for name, record in raw_records("evol_instruct/fresh/analyses/difficulty_score").items():
        assert {field: record[field] for field in expected[name]} == expected[name]


@starts_ray
def test_pairs_that_come_later_are_scored() -> None:
    before = files("score_pairs/out")
    config = read_config(ScoreConfig, Path("score_pairs/score.yaml"))
    run(ScorePairsJob(config), say=lambda _: None)
    assert files("score_pairs/out") == before
    assert_golden("score_pairs/out")
    with Path("score_pairs/seeds.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"instruction": "Add 2 and 3.", "output": "5"}) + "\n")
    assert run(ScorePairsJob(config), say=lambda _: None)["records"]["kept"] == 5
    assert raw_records("score_pairs/out").keys() > golden_records("score_pairs").keys()


@pytest.mark.parametrize("output", ["search/out", "search/killed"])
def test_a_search_under_the_template_of_back_then_is_refused_and_kept(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in Path(output).rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(("optimize", "search/search.yaml", "--output", output))
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "templates.auto_evol/optimise" in told
    assert "version 0.1's" in told
    assert {path: path.read_bytes() for path in before} == before
