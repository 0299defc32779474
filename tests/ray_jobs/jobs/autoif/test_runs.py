"""AutoIF through the whole pipeline on a local Ray, with a funnel that is told by hand below."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from ray_jobs.cli.app import main
from ray_jobs.cli.show import print_report
from ray_jobs.cli.status import describe_all
from ray_jobs.datasets.export import export
from ray_jobs.errors import ConfigError, SettingsChanged
from ray_jobs.jobs.autoif.classifier import ClassifierActor
from ray_jobs.jobs.autoif.config import AutoIFConfig, ClassifierConfig
from ray_jobs.jobs.autoif.preparation import guards, prepare
from ray_jobs.jobs.registry import jobs_of, run_all, stored_jobs
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output.verify import verify
from ray_jobs.pipeline.actor import ActorContext
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.storage.store import open_store
from tests.ray_jobs.jobs.autoif.samples import autoif_config
from tests.ray_jobs.samples import FinishedRun, finished, kept_round, write_seeds
from tests.scoring.tiny_models import save_classifier

pytestmark = pytest.mark.usefixtures("local_ray")

Record = dict[str, Any]
Line = tuple[str, str, int, int, dict[str, int]]

# Two constraints of our own and two calls of six instructions: slate, topaz, amber, birch, cedar, delta, ebony, of
# which amber comes four times and the other four of the calls twice.
WRITTEN: list[Line] = [
    ("augment", "call", 2, 2, {}),
    ("augment", "line", 16, 12, {"heading": 2, "no_words": 2}),
    ("augment", "instruction", 14, 7, {"duplicate": 7}),
]
# Three replies each. topaz and cedar come without code, birch with cases that no function agrees with. Of delta's nine
# cases three hang, and the one behind the third hanging one is not run any more. Delta and ebony are in disguise.
SMALL: list[Line] = [
    *WRITTEN,
    ("verify", "reply", 21, 15, {"no_json": 6}),
    ("cross_validate", "function", 15, 12, {"with_its_instruction": 3}),
    ("cross_validate", "case", 45, 32, {"agreement": 9 + 4}),
    ("back_translate", "back_translation", 12, 12, {}),
    ("cross_validate", "instruction", 7, 4, {"too_few_functions": 2, "no_case_kept": 1}),
    ("nli", "instruction", 4, 2, {"contradiction": 2}),
]
# The same without amber, of which the engine will not hear.
LARGE: list[Line] = [
    *WRITTEN,
    ("verify", "reply", 21, 12, {"no_json": 6, "refused": 3}),
    ("cross_validate", "function", 12, 9, {"with_its_instruction": 3}),
    ("cross_validate", "case", 36, 23, {"agreement": 9 + 4}),
    ("back_translate", "back_translation", 9, 9, {}),
    ("cross_validate", "instruction", 7, 3, {"too_few_functions": 3, "no_case_kept": 1}),
    ("nli", "instruction", 3, 1, {"contradiction": 2}),
]
INSTRUCTIONS = {"small": 2, "large": 1}
"""What is left: slate and amber, and slate. Each meets seven queries of nine, and each pair has four responses."""
ROWS = 3 * 7
Finished = FinishedRun[AutoIFConfig]


def records(output: Path) -> list[Record]:
    """All records of one phase, kept or not."""
    found: list[Record] = []
    for name in ("data", "rejected"):
        found += [{"status": "kept", **row} for row in ds.dataset(output / name).to_table().to_pylist()]
    return found


def texts(output: Path) -> set[tuple[Any, ...]]:
    """What must be the same however often a run was disturbed."""
    names = ("record_id", "status", "instruction", "output", "trajectory")
    return {tuple(record[name] for name in names) for record in records(output)}


def quiet(config: AutoIFConfig) -> dict[str, Any]:
    return run_all(jobs_of(config), say=lambda _: None)


def lines(report: dict[str, Any], evolver: str) -> list[Line]:
    return [
        (step["step"], step["kind"], step["entered"], step["kept"], step["fallen"])
        for step in report["funnel"]
        if step["evolver"] == evolver
    ]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Finished:
    folder = tmp_path_factory.mktemp("autoif")
    config = autoif_config(folder)
    return Finished(folder, config, quiet(config))


@pytest.fixture
def again(first: Finished, tmp_path: Path) -> Finished:
    """The finished run in a place of its own, with no call counted yet."""
    shutil.copytree(first.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "calls").write_text("")
    return Finished(tmp_path, autoif_config(tmp_path), first.report)


def test_the_funnel_is_the_one_told_by_hand(first: Finished) -> None:
    assert lines(first.report, "small")[:9] == SMALL
    assert lines(first.report, "large")[:9] == LARGE
    for evolver, instructions in INSTRUCTIONS.items():
        # four queries are answered well, one badly, one weakly, and one oddly: some of its responses are good
        odd = [
            record
            for record in records(first.output)
            if record["evolver"] == evolver and "oddly" in record["instruction"]
        ]
        good = Counter((item["row_id"], item["status"] == "kept") for item in odd)
        passed = sum(n for (_, kept), n in good.items() if kept)
        per_row = [(good[row, True], good[row, False]) for row in {item["row_id"] for item in odd}]
        assert len(odd) == 4 * instructions
        dropped = 4 * instructions + len(odd) - passed
        asked, pairs = 28 * instructions, sum(min(2, a) * min(2, b) for a, b in per_row)
        assert lines(first.report, evolver)[9:] == [
            ("respond", "response", asked, asked - dropped, {"accuracy": dropped}),
            ("quality", "response", asked - dropped, 16 * instructions + passed, {"score": 4 * instructions}),
            ("pair", "preference pair", pairs, pairs, {}),
        ]


def test_the_report_adds_up(first: Finished) -> None:
    report = first.report
    assert report["reconciles"] is True
    assert report["rows"] == {"planned": ROWS + 2, "done": ROWS + 2}
    assert report["records"]["planned"] == 4 * ROWS + 2
    assert report["seeds"]["usable"] == 7
    assert report["seeds"]["unreadable"] == {"query_too_short": 1, "query_too_long": 1}
    for name, store in stores_of(open_store(str(first.output))).items():
        verdict = verify(store)
        assert (name, verdict.finished, verdict.problems) == (name, True, [])
        assert verdict.done == verdict.rows


def test_kept_records_say_what_was_asked_and_how_it_was_judged(first: Finished) -> None:
    kept = [record for record in records(first.output) if record["status"] == "kept"]
    assert {item["evolver"] for item in kept} == {"small", "large"}
    for item in kept:
        about = json.loads(item["trajectory"])
        assert item["instruction"] == f"{item['seed_instruction']}\n{about['constraint']}"
        assert about["constraint"].split()[3] in item["output"]
        assert (about["accuracy"], about["score"], item["operator"]) == (1.0, 9, "constraint")
        # the scripted engine finds all ten scores equally likely
        assert about["expected_score"] == pytest.approx(5.5)
        assert (item["strategy"], item["responder_model"], item["evolver_model"]) == (
            "autoif",
            "responder",
            item["evolver"],
        )
    preferred = [item for item in kept if item["rejected_outputs"]]
    assert preferred
    assert all("No word of yours" in worse for item in preferred for worse in item["rejected_outputs"])


def test_what_falls_is_kept_with_its_reason(first: Finished) -> None:
    dropped = [record for record in records(first.output) if record["status"] != "kept"]
    queries = {item["reason"]: item["seed_instruction"] for item in dropped if item["stage"] == "query"}
    assert queries.keys() == {"query_too_short", "query_too_long"}
    assert {(item["stage"], item["reason"]) for item in dropped if item["evolver"]} == {
        ("respond", "accuracy"),
        ("quality", "score"),
    }
    again = [record for record in records(first.output / "instructions") if record["status"] != "kept"]
    near = Counter((item["evolver"], item["error"]) for item in again if item["reason"] == "duplicate")
    assert near["small", "of: Mention the word amber once or more"] == 3
    assert near["small", "of: Mention the word birch once or more, with wrong cases"] == 1


def test_functions_cases_and_replies_that_fall_are_kept_too(first: Finished) -> None:
    found = records(first.output / "instructions")
    disguised = [one for one in found if "hanging" in one["instruction"] and one["status"] == "rejected"]
    (item,) = (one for one in disguised if one["evolver"] == "small" and one["stage"] == "nli")
    assert (item["reason"], item["error"]) == ("contradiction", "by: Mention the word delta once or more.")
    account = json.loads(item["trajectory"])
    assert account["labels"] == ["contradiction"] * 3
    assert len(account["cases"]) == 5
    assert Counter(dropped["reason"] for dropped in account["fallen"]) == {"agreement": 4}
    assert all(dropped["text"].startswith(("Nothing", "Also")) for dropped in account["fallen"])
    functions = [json.loads(one["output"]) for one in found if one["status"] == "kept"]
    assert [len(some) for some in functions] == [3, 3, 3]
    assert all(function["source"].startswith("def evaluate") for some in functions for function in some)
    replies = [
        json.loads(one["trajectory"])["fallen"] for one in found if "cedar" in one["instruction"] and one["trajectory"]
    ]
    assert replies
    assert all(some[0]["text"] == "I would rather not write code." for some in replies)


def test_a_classifier_labels_in_place_of_the_judge(first: Finished, tmp_path: Path) -> None:
    from scoring.entailment import Entailment

    model = str(save_classifier(tmp_path, ("entailment", "neutral", "contradiction")))
    found = [
        record
        for record in records(first.output / "instructions")
        if record["trajectory"] and record["evolver"] == "small"
    ]
    rounds = {
        number: [kept_round(instruction=item["instruction"], trajectory=item["trajectory"])]
        for number, item in enumerate(found)
    }
    config = ClassifierConfig(model=model, device="cpu", batch_size=2)
    actor = ClassifierActor(None, ActorContext("nli", config, Monitor.create(["nli"])))
    labelled = asyncio.run(actor(finished(rounds)))
    classifier, against = Entailment(model, "cpu"), 0
    for (item,) in labelled["rounds"].to_pylist():
        account = json.loads(item["trajectory"])
        expected = classifier.label([(item["instruction"], text) for text in account["back_translations"]])
        assert account["labels"] == expected
        assert (item["status"], item["reason"]) == (
            ("rejected", "contradiction") if "contradiction" in expected else ("kept", None)
        )
        against += "contradiction" in expected
    assert 0 < against < len(found)


def test_pairs_are_exported(first: Finished, tmp_path: Path) -> None:
    exported = export(open_store(str(first.output)), open_store(str(tmp_path / "dpo")), "dpo", "jsonl")
    pairs = sum(step["kept"] for step in first.report["funnel"] if step["step"] == "pair")
    rows = [json.loads(line) for line in (tmp_path / "dpo" / "train" / "00000.jsonl").read_text().splitlines()]
    assert len(rows) == pairs == exported.sides["train"].records
    assert all("With pleasure" in row["chosen"] and "No word" in row["rejected"] for row in rows)
    kept = ds.dataset(first.output / "data").to_table().to_pylist()
    told = [row for row in kept if row["chosen_by"] == "checker"]
    assert sum(len(row["rejected_scores"]) for row in told) == pairs
    assert all(row["answer_score"] == 1 and set(row["rejected_scores"]) == {0} for row in told)


def test_a_finished_run_is_left_as_it_is(again: Finished) -> None:
    before = texts(again.output)
    report = quiet(again.config)
    assert report["funnel"] == again.report["funnel"]
    assert again.calls == {}
    assert texts(again.output) == before


def test_more_queries_leave_paired_instructions_alone(again: Finished) -> None:
    queries = [json.loads(line)["instruction"] for line in (again.folder / "queries.jsonl").read_text().splitlines()]
    write_seeds(again.folder / "queries.jsonl", [*queries, "A query that came later than all others."])
    report = quiet(autoif_config(again.folder))
    assert report["seeds"]["usable"] == 8
    assert report["rows"] == again.report["rows"]
    assert again.calls == {}


def test_changed_settings_are_refused_by_the_phase_that_they_change(again: Finished) -> None:
    with pytest.raises(SettingsChanged, match=r"out: .*\n  strategy\.responses: 4 before, 5 now"):
        quiet(autoif_config(again.folder, {"responses": 5}))
    with pytest.raises(SettingsChanged, match=r"instructions: .*\n  strategy\.replies: 3 before, 2 now"):
        quiet(autoif_config(again.folder, {"replies": 2}))
    with pytest.raises(SettingsChanged, match=r"augment: .*\n  strategy\.augment_calls: 2 before, 3 now"):
        quiet(autoif_config(again.folder, {"augment_calls": 3}))
    quiet(autoif_config(again.folder, {"sandbox": {"servers": 2, "allow_missing": ["network"]}}))


def test_engines_that_die_in_every_phase_cost_no_row(first: Finished, tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("evolver", "judge", "responder")}
    for place in places.values():
        place.mkdir()
    calm = autoif_config(tmp_path)

    def dying(name: str, after: int, model: Any) -> dict[str, Any]:
        raw: dict[str, Any] = model.model_dump()
        raw["engine"]["testing"] |= {"die_after": after, "marks": str(places[name])}
        return raw

    assert calm.judge is not None
    small = dying("evolver", 12, calm.evolvers["small"])
    report = quiet(
        autoif_config(
            tmp_path,
            evolvers={"small": small, "large": calm.evolvers["large"].model_dump()},
            judge=dying("judge", 7, calm.judge),
            responder=dying("responder", 30, calm.responder),
        )
    )
    assert all((place / "engine_died").exists() for place in places.values())
    assert report["funnel"] == first.report["funnel"]
    assert texts(tmp_path / "out") == texts(first.output)
    assert texts(tmp_path / "out" / "instructions") == texts(first.output / "instructions")


def test_status_and_verify_go_through_the_phases(
    first: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = describe_all(open_store(str(first.output)))
    assert [line for line in text.splitlines() if line.startswith(("phase", "funnel"))] == [
        "phase augment",
        "phase instructions",
        "phase responses",
        "funnel of large",
        "funnel of small",
    ]
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(first.output)])
    assert ended.value.code in (None, 0)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:3]] == [
        "augment",
        "instructions",
        "responses",
    ]
    print_report(first.report, "out")
    assert "contradiction" in capsys.readouterr().out
    shutil.copytree(first.output / "augment", tmp_path / "out" / "augment")
    begun = describe_all(open_store(str(tmp_path / "out")))
    assert "phase responses\n  not begun" in begun
    assert "16 in       12 kept  (2 heading, 2 no_words)" in begun


def test_the_output_knows_its_jobs(first: Finished) -> None:
    jobs = stored_jobs(open_store(str(first.output)), str(first.output), {})
    assert [job.kind for job in jobs] == ["autoif_augment", "autoif_instructions", "autoif"]
    assert [job.settings() for job in jobs] == [job.settings() for job in jobs_of(first.config)]


def test_a_machine_without_a_guard_is_refused_before_anything_starts(tmp_path: Path) -> None:
    config = autoif_config(tmp_path)
    assert "; network by " in guards(prepare(config).kit)
    kit = replace(prepare(config).kit, required=frozenset({"gravity"}))
    with pytest.raises(
        ConfigError, match=r"strategy\.sandbox\.allow_missing: this machine offers no guard for: gravity"
    ):
        guards(kit)
    lax = autoif_config(tmp_path, {"sandbox": {"allow_missing": ["network"]}})
    assert prepare(lax).kit.required == {"files", "processes", "verdicts", "resources", "privileges"}
