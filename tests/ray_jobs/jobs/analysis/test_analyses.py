"""Analyses of a small output: every record measured once, summaries that their tables bear out, and resuming."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow.dataset as ds
import pytest
import ray
import yaml

from ray_jobs.cli.status import status
from ray_jobs.config.identity import changes, result_settings
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.errors import ConfigError, OutputError, SettingsChanged
from ray_jobs.jobs.analysis.evolutions import EvolvePrompts
from ray_jobs.jobs.registry import run_all, stored_jobs
from ray_jobs.output import accept
from ray_jobs.output.retry import drop_failed
from ray_jobs.output.verify import verify
from ray_jobs.storage.store import open_store
from scoring import Pair, RewardConfig, RewardScorer
from tests.chaos.jobs import Command
from tests.chaos.nodes import STARTUP, until
from tests.ray_jobs.datasets.outputs import read_records, record, write_output
from tests.ray_jobs.jobs.analysis.measured import RECORDS, config, evolved, quiet, rows, write_source
from tests.scoring.tiny_encoder import save_encoder
from tests.scoring.tiny_models import GROUPED, build_tokenizer, save_reward_model

SEEDS = {record["seed_id"] for record in RECORDS}

pytestmark = pytest.mark.usefixtures("local_ray")


def judge(**engine: Any) -> dict[str, Any]:
    return {"engine": {"kind": "scripted", "reply": "judge", **engine}, "pool": {"batch_rows": 16}}


class Judged(NamedTuple):
    """An output whose difficulty was judged, the judge's log of calls, and the summary."""

    source: Path
    calls: Path
    summary: list[dict[str, Any]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Judged:
    folder = tmp_path_factory.mktemp("judged")
    source, calls = write_source(folder), folder / "calls"
    return Judged(source, calls, quiet(config(source, "difficulty", judge=judge(call_log=str(calls)))))


def test_every_instruction_and_every_seed_is_judged_once(undisturbed: Judged) -> None:
    source, calls, summary = undisturbed
    judged, unread = rows(source, "difficulty"), rows(source, "difficulty", "rejected")
    assert Counter(item["record_id"] for item in [*judged, *unread]) == Counter(
        [*(record["record_id"] for record in RECORDS), *SEEDS]
    )
    assert len(calls.read_text().split()) == 72
    assert {item["reason"] for item in unread} == {"no_label"}
    assert {item["reply"] for item in unread} == {"That is not for me to say."}
    groups = {(record["evolver"], record["round"]) for record in RECORDS} | {(None, 0)}
    assert {(item["evolver"], item["round"]) for item in summary} == groups
    for entry in summary:
        own = [item for item in judged if (item["evolver"], item["round"]) == (entry["evolver"], entry["round"])]
        levels = np.array([item["difficulty_level"] for item in own])
        assert entry["n"] == len(own)
        assert entry["unreadable"] == 10 + 2 * (entry["evolver"] is None) - len(own)
        assert "mean_expected_level" not in entry
        assert entry["labels"] == dict.fromkeys(entry["labels"], 0) | Counter(item["difficulty_label"] for item in own)
        assert entry["mean_level"] == pytest.approx(levels.mean())
        reach = 1.959964 * levels.std(ddof=1) / len(levels) ** 0.5
        assert entry["mean_level_high"] == pytest.approx(levels.mean() + reach)
    output = open_store(str(source / "analyses/difficulty"))
    verdict = verify(output)
    assert (verdict.rows, verdict.done, verdict.finished, list(verdict.problems)) == (72, 72, True, [])
    assert status(output).finished


def test_expected_values_stand_beside_what_the_judge_says(source: Path) -> None:
    summary = quiet(config(source, "difficulty", judge=judge(), expected=True))
    judged = rows(source, "difficulty")
    # the scripted engine likes all labels alike
    assert {round(row["expected_level"], 6) for row in judged} == {3.0}
    assert [item["weighed"] for item in summary] == [item["n"] for item in summary]
    assert {round(item["mean_expected_level"], 6) for item in summary} == {3.0}
    with pytest.raises(ValueError, match="expected: needs forms"):
        config(source, "difficulty", judge=judge(), expected=True, forms=False)


def test_the_same_call_goes_on_with_what_is_new_and_its_scores_are_selected_by(source: Path, tmp_path: Path) -> None:
    first = config(source, "difficulty_score", judge=judge(call_log=str(tmp_path / "calls")), seeds=False)
    quiet(first)
    before = (tmp_path / "calls").read_text()
    assert quiet(first) == quiet(first)
    assert (tmp_path / "calls").read_text() == before
    write_output(open_store(str(source)), [[record(number, sample=0) for number in range(60, 66)]])
    summary = quiet(first)
    assert len((tmp_path / "calls").read_text().split()) == len(before.split()) + 6
    assert sum(item["n"] + item["unreadable"] for item in summary) == 66
    assert all(0 <= row["difficulty_score"] <= 100 for row in rows(source, "difficulty_score"))
    with pytest.raises(SettingsChanged, match=r"analysis\.judge\.engine\.model"):
        quiet(config(source, "difficulty_score", judge=judge(model="other"), seeds=False))

    # what is measured can be selected by
    scores = {row["record_id"]: row["difficulty_score"] for row in rows(source, "difficulty_score")}
    target = tmp_path / "best"
    select(open_store(str(source)), open_store(str(target)), Rule("difficulty_score", top=5), say=lambda _: None)
    best = [scores[row] for row in ds.dataset(target / "data").to_table()["record_id"].to_pylist()]
    assert sorted(best) == sorted(scores.values())[-5:]
    # an unfinished analysis is none
    (source / "analyses/difficulty_score/_SUCCESS").unlink()
    with pytest.raises(ConfigError, match="--by difficulty_score: expected a score"):
        select(open_store(str(source)), open_store(str(tmp_path / "x")), Rule("difficulty_score", top=5))


def test_failed_records_are_counted_and_run_again(source: Path) -> None:
    refusing = config(source, "difficulty", judge=judge(refuse_text="step 7 "), seeds=False)
    summary = quiet(refusing)
    assert sum(item["failed"] for item in summary) == 1
    output = str(source / "analyses/difficulty")
    assert [row["reason"] for row in rows(source, "difficulty", "rejected") if row["status"] == "failed"] == [
        "PromptRefused"
    ]
    assert drop_failed(open_store(output)) == 1
    run_all(stored_jobs(open_store(output), output, {}), say=lambda _: None)
    assert verify(open_store(output)).done == 60


def test_evolvers_of_one_output_are_compared_seed_by_seed(tmp_path: Path) -> None:
    small = [record(number, sample=0, evolver="small") for number in range(30)]
    large = [
        item
        | {"evolver": "large", "plan_row": 100 + item["plan_row"], "record_id": f"large {item['record_id']}"}
        | {"instruction": f"{item['instruction']} Give reasons."}
        for item in small[:24]
    ]
    source = tmp_path / "run"
    write_output(open_store(str(source)), [small, large])
    settings = {"judge": judge(), "evolver": "small", "other_evolver": "large"}
    summary = quiet(config(source, "win", **settings))
    found = {item["record_id"]: item for item in [*small, *large]}
    met = rows(source, "win")
    # the six records of the smaller evolver that meet none are left out
    assert len(met) + len(rows(source, "win", "rejected")) == 24
    for item in met:
        mine, theirs = found[item["record_id"]], found[item["other_record_id"]]
        assert (mine["evolver"], theirs["evolver"]) == ("small", "large")
        assert (mine["seed_instruction"], mine["input"], mine["round"]) == (
            theirs["seed_instruction"],
            theirs["input"],
            theirs["round"],
        )
        assert item["verdict"] == "tie" or item["agreed"]
    assert [item["against_evolver"] for item in summary] == ["large"] * len(summary)
    for entry in summary:
        verdicts = Counter(item["verdict"] for item in met if item["round"] == entry["round"])
        assert (entry["win"], entry["tie"], entry["lose"]) == tuple(verdicts[name] for name in ("win", "tie", "lose"))
        assert entry["win_rate"] == pytest.approx((entry["win"] + entry["tie"] / 2) / entry["n"])
        assert entry["win_rate_low"] <= entry["win_rate"] <= entry["win_rate_high"]


def test_two_outputs_are_compared_and_an_output_never_with_itself(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_output(open_store(str(other)), [[record | {"output": "Something else."} for record in RECORDS]])
    summary = quiet(config(source, "win", judge=judge(), against=str(other)))
    assert sum(item["n"] + item["unreadable"] for item in summary) == 60
    assert {item["against"] for item in summary} == {str(other)}
    with pytest.raises(ConfigError, match="would be compared with itself"):
        quiet(config(other, "win", judge=judge(), against=str(other)))
    strangers = tmp_path / "strangers"
    write_output(open_store(str(strangers)), [[record | {"seed_instruction": "Other."} for record in RECORDS]])
    with pytest.raises(OutputError, match="none of its records has a counterpart"):
        quiet(config(strangers, "win", judge=judge(), against=str(other)))


def test_distances_are_exact_within_each_group_and_a_search_goes_on(source: Path, tmp_path: Path) -> None:
    encoder = {"model": str(save_encoder(tmp_path / "encoder")), "threads": 1, "pool": {"batch_rows": 16}}
    summary = quiet(config(source, "diversity", encoder=encoder))
    vectors = {row["record_id"]: row for row in rows(source, "embeddings")}
    measured = {row["record_id"]: row for row in rows(source, "diversity")}
    assert measured.keys() == vectors.keys() == {record["record_id"] for record in RECORDS} | SEEDS
    for item in measured.values():
        others = [
            (2 - 2 * float(np.dot(vectors[item["record_id"]]["embedding"], other["embedding"])), name)
            for name, other in vectors.items()
            if name != item["record_id"] and (other["evolver"], other["round"]) == (item["evolver"], item["round"])
        ]
        assert item["neighbour_distance"] == pytest.approx(max(0, min(others)[0]), abs=2e-5)
        assert item["repeats"] == sum(distance <= 0.05 for distance, _ in others)
    for entry in summary:
        own = [
            item for item in measured.values() if (item["evolver"], item["round"]) == (entry["evolver"], entry["round"])
        ]
        assert entry["n"] == len(own)
        assert entry["mean_neighbour_distance"] == pytest.approx(np.mean([item["neighbour_distance"] for item in own]))
        assert entry["repeated"] == pytest.approx(np.mean([item["repeats"] > 0 for item in own]))
    files = sorted((source / "analyses/diversity/data").iterdir())
    files[0].unlink()
    kept = {file: file.stat().st_mtime_ns for file in files[1:]}
    assert quiet(config(source, "diversity", encoder=encoder)) == summary
    assert {file: file.stat().st_mtime_ns for file in files[1:]} == kept
    assert files[0].exists()


def test_a_reward_model_goes_over_what_is_there(source: Path, tmp_path: Path) -> None:
    from transformers import LlamaConfig

    odd = [record(60, sample=0, output="the rain " * 300), record(61, sample=0, output="")]
    write_output(open_store(str(source)), [odd])
    model = str(save_reward_model(tmp_path / "m", LlamaConfig(**GROUPED, num_labels=1), build_tokenizer(bos=True)))
    summary = quiet(config(source, "reward", reward={"model": model, "pool": {"batch_rows": 32}}))
    measured = {row["record_id"]: row for row in rows(source, "reward")}
    assert measured.keys() == {record["record_id"] for record in RECORDS}
    pairs = [Pair(record["instruction"], record["input"], record["output"]) for record in RECORDS]
    expected = [item.value for item in RewardScorer(RewardConfig(model)).score(pairs)]
    assert [measured[record["record_id"]]["reward"] for record in RECORDS] == pytest.approx(expected, rel=1e-4)
    lost = {row["record_id"]: row for row in rows(source, "reward", "rejected")}
    assert lost.keys() == {item["record_id"] for item in odd}
    assert {(item["stage"], item["reason"]) for item in lost.values()} == {("reward", "no_reward")}
    assert lost[odd[0]["record_id"]]["error"].startswith("reward: too long: ")
    assert lost[odd[1]["record_id"]]["error"] == "empty response: reward is undefined"
    for entry in summary:
        own = [
            item for item in measured.values() if (item["evolver"], item["round"]) == (entry["evolver"], entry["round"])
        ]
        assert (entry["n"], len(entry["quantiles"])) == (len(own), 5)
        assert entry["mean_reward"] == pytest.approx(np.mean([item["reward"] for item in own]))
    assert sum(item["unreadable"] for item in summary) == 2
    # the data have a column of this name, which this run has left empty
    target = open_store(str(tmp_path / "best"))
    select(open_store(str(source)), target, Rule("reward", top=5), say=lambda _: None)
    best = [measured[record["record_id"]]["reward"] for record in read_records(target)]
    assert sorted(best) == sorted(item["reward"] for item in measured.values())[-5:]


def judges() -> list[psutil.Process]:
    """The judging actors of the local Ray."""
    return [child for child in psutil.Process().children(recursive=True) if "judge" in _title(child)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_driver_that_is_killed_costs_what_was_in_flight(undisturbed: Judged, tmp_path: Path) -> None:
    # the same files under the same names, by which they are read: the first record of a seed stands for it
    source = shutil.copytree(undisturbed.source, tmp_path / "run", ignore=shutil.ignore_patterns("analyses"))
    calm = rows(undisturbed.source, "difficulty"), rows(undisturbed.source, "difficulty", "rejected")
    log = tmp_path / "calls"
    settings = judge(call_log=str(log), slots=8, decode_rate=80)  # half a second a call, eight at once
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump({"judge": settings}))
    address = ray.get_runtime_context().gcs_address
    analyse_it = ["analyse", str(source), "difficulty", "--config", str(tmp_path / "judge.yaml"), "--address", address]
    output = open_store(str(source / "analyses/difficulty"))
    command = Command(analyse_it, tmp_path)
    until(
        lambda: command.is_over or any("/part-" in path for path, _ in output.list("entries")),
        STARTUP,
        "the first committed part",
    )
    assert command.kill()
    until(lambda: not judges(), STARTUP, "the end of the killed driver's actors")
    calls, done = len(log.read_text().split()), sum(len(entry.rows) for entry in accept.load(output).parts)
    assert 0 < done < calls <= 72
    again = Command(analyse_it, tmp_path)
    assert again.wait(STARTUP) == 0, again.text
    assert len(log.read_text().split()) == calls + 72 - done
    key = itemgetter("record_id")
    for found, expected in zip((rows(source, "difficulty"), rows(source, "difficulty", "rejected")), calm, strict=True):
        assert sorted(found, key=key) == sorted(expected, key=key)
    assert json.loads((source / "analyses/difficulty/summary.json").read_text()) == undisturbed.summary


def test_a_judge_writes_key_phrases_beside_the_rules(tmp_path: Path) -> None:
    told = [None, *(json.dumps({"methods": [f"way {number}"], "plan": "Do it."}) for number in range(30))]
    records = [record(number, sample=0, trajectory=text) for number, text in enumerate(told)]
    write_output(open_store(str(tmp_path)), [records])
    summary = quiet(config(tmp_path, "key_phrases", judge=judge()))
    written, unread = rows(tmp_path, "key_phrases"), rows(tmp_path, "key_phrases", "rejected")
    assert {item["record_id"] for item in [*written, *unread]} == {record["record_id"] for record in records[1:]}
    assert {item["reason"] for item in unread} == {"no_phrases"}
    for entry in summary:
        group = [item for item in written if (item["evolver"], item["round"]) == (entry["evolver"], entry["round"])]
        phrases = [phrase for item in group for phrase in item["phrases"]]
        assert (entry["n"], entry["phrases"], entry["distinct"]) == (len(group), len(phrases), len(set(phrases)))
        assert entry["expected_distinct"] <= entry["distinct"]


def test_questions_as_they_were_have_the_settings_that_they_had(source: Path) -> None:
    asked = config(source, "difficulty", judge=judge())
    settings = result_settings(asked)
    assert not {"analysis.max_tokens", "analysis.with_input"} & settings.keys()
    longer = config(source, "difficulty", judge=judge(), max_tokens=500, with_input=False)
    assert changes(settings, result_settings(longer)) == [
        "analysis.max_tokens: nothing before, 500 now",
        "analysis.with_input: nothing before, false now",
    ]


def test_both_rewards_stand_beside_each_other_under_their_own_names(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    records = [evolved(number) for number in range(0, 30, 3)]
    write_output(open_store(str(tmp_path / "run")), [records])
    # evolve prompts are longer than the tiny models of other tests take
    roomy = LlamaConfig(**{**GROUPED, "max_position_embeddings": 8192}, num_labels=1)
    model = save_reward_model(tmp_path / "m", roomy, build_tokenizer(bos=True))
    reward = {"model": str(model)}
    for name in ("reward", "evolution_reward"):
        summary = quiet(config(tmp_path / "run", name, reward=reward))
        assert sum(item["n"] for item in summary) == 10
        assert all(f"mean_{name}" in item for item in summary)
    answers, replies = (rows(tmp_path / "run", name) for name in ("reward", "evolution_reward"))
    by_id = {reply["record_id"]: reply["evolution_reward"] for reply in replies}
    assert by_id.keys() == {answer["record_id"] for answer in answers}
    (first,) = RewardScorer(RewardConfig(str(model))).score(
        [Pair(EvolvePrompts.load(None).of("deepen", records[0]["seed_instruction"], ""), "", records[0]["instruction"])]
    )
    assert by_id[records[0]["record_id"]] == pytest.approx(first.value, rel=1e-4)
    settings = result_settings(config(tmp_path / "run", "reward", reward=reward))
    assert "analysis.reward.trust_remote_code" not in settings
