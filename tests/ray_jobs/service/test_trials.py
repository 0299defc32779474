"""Seeds through evolvers that are loaded, answers and scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from evolve.records import Instruction
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.plan import planned_rows
from ray_jobs.seeds.read import Seed, seed_id
from ray_jobs.service.asked_strategy import asked_strategy, over_own
from ray_jobs.service.engines import Figures
from ray_jobs.service.trying import Wish, planned_row
from tests.ray_jobs.service.warm import Warm

SEED = "Explain why the sky is blue."


@pytest.fixture(scope="module")
def warm() -> Warm:
    return Warm({"limits": {"rounds": 4, "pairs": 3}})


@pytest.fixture
def client(warm: Warm) -> TestClient:
    return warm.client()


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        kind, data = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_seed_goes_through_all_evolvers(client: TestClient) -> None:
    asked = {"instruction": SEED, "rounds": 3, "respond": True, "score": True}
    results = client.post("/v1/evolve", json=asked).json()["results"]
    assert {item["evolver"] for item in results} == {"small", "large"}
    for item in results:
        assert [found["operator"] for found in item["rounds"]] == ["add_constraint", "deepen", "concretise"]
        assert item["outcome"] == "kept"
        assert item["instruction"] == item["rounds"][-1]["instruction"]
        assert item["response"]
        assert item["scores"]["ic_ifd"] > 0
        assert item["tokens"]["completion"] == 4 * 40
        assert item["seconds"] >= 0


def test_rounds_come_one_by_one_before_the_result(client: TestClient) -> None:
    asked = {"instruction": SEED, "rounds": 2, "evolvers": ["large"], "stream": True}
    answer = client.post("/v1/evolve", json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    assert [kind for kind, _ in found] == ["round", "round", "result", "done"]
    assert [told["round"] for _, told in found[:2]] == [1, 2]
    plain = client.post("/v1/evolve", json={**asked, "stream": False}).json()["results"]
    assert [{**found[2][1], "seconds": 0}] == [{**item, "seconds": 0} for item in plain]


def test_the_place_among_a_runs_seeds_decides_the_first_operator(client: TestClient) -> None:
    asked = {"instruction": SEED, "rounds": 1, "evolvers": ["small"], "index": 2}
    assert client.post("/v1/evolve", json=asked).json()["results"][0]["rounds"][0]["operator"] == "concretise"


def test_a_template_may_be_a_text(client: TestClient) -> None:
    asked = {"instruction": SEED, "rounds": 1, "evolvers": ["small"]}
    plain, own = (
        client.post("/v1/evolve", json={**asked, "strategy": {"templates": templates}}).json()["results"][0]
        for templates in ({}, {"evol_instruct/add_constraint": "Make harder: {instruction}"})
    )
    assert plain["instruction"] != own["instruction"]


@pytest.mark.parametrize(
    ("sent", "status", "field"),
    [
        ({"instruction": ""}, 400, "instruction"),
        ({"rounds": 5}, 400, "strategy.rounds"),
        ({"rounds": 0}, 400, "rounds"),
        ({"evolvers": ["huge"]}, 400, "evolvers"),
        ({"evolvers": []}, 400, "evolvers"),
        ({"score": True}, 400, "score"),
        ({"strategy": {"kind": "nothing"}}, 400, "strategy.kind"),
        ({"strategy": {"sampling": {"temperatur": 1}}}, 400, "strategy.sampling.temperatur"),
        (
            {"strategy": {"templates": {"evol_instruct/deepen": "{seed}"}}},
            400,
            "strategy.templates.evol_instruct/deepen",
        ),
        ({"strategy": {"templates": {"../../etc/passwd": "x"}}}, 400, "strategy.templates.../../etc/passwd"),
        ({"strategy": {"templates": "examples"}}, 403, "strategy.templates"),
        ({"strategy": {"kind": "auto_evol", "method": "/etc/passwd"}}, 403, "strategy.method"),
        ({"strategy": {"kind": "os:path"}}, 403, "strategy.kind"),
        ({"strategy": {"sampling": {"stop": ["${HOME}"]}}}, 403, "strategy.sampling.stop.0"),
        ({"sead": 1}, 400, "sead"),
    ],
)
def test_what_is_wrong_or_not_for_clients_is_told_by_its_field(
    client: TestClient, sent: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post("/v1/evolve", json={"instruction": SEED, **sent})
    assert answer.status_code == status
    assert field in [item["field"] for item in answer.json()["error"]["details"]]


def test_an_operator_may_allow_template_folders(tmp_path: Path) -> None:
    (tmp_path / "evol_instruct").mkdir()
    (tmp_path / "evol_instruct" / "add_constraint.txt").write_text("My own: {instruction}")
    asked = {"instruction": SEED, "rounds": 1, "strategy": {"templates": str(tmp_path)}}
    assert Warm().client().post("/v1/evolve", json=asked).status_code == 403
    assert Warm({"allow": {"paths": True}}).client().post("/v1/evolve", json=asked).status_code == 200


def test_what_the_strategy_does_not_say_is_as_the_services_own() -> None:
    own = {"kind": "evol_instruct", "rounds": 3, "breadth": False}
    assert over_own({"rounds": 1}, own) == {**own, "rounds": 1}
    assert over_own({"kind": "auto_evol"}, own) == {"kind": "auto_evol"}
    assert over_own({"kind": "evol_instruct", "rounds": 2}, {}) == {"kind": "evol_instruct", "rounds": 2}


def test_a_refused_prompt_fails_its_round_and_not_the_request(client: TestClient) -> None:
    asked = {"instruction": "Say the forbidden words.", "evolvers": ["large"], "rounds": 2, "respond": True}
    result = client.post("/v1/evolve", json=asked).json()["results"][0]
    assert (result["outcome"], result["reason"], result["response"]) == ("failed", "PromptRefused", None)
    assert "refuses" in result["rounds"][0]["error"]


def test_an_engine_that_has_died_is_told_with_what_was_done_before() -> None:
    warm = Warm(evolvers={"small": {"engine": {"kind": "scripted", "testing": {"die_after": 2}}}})
    asked = {"instruction": SEED, "rounds": 2, "stream": True}
    found = events(warm.client().post("/v1/evolve", json=asked).text)
    assert [kind for kind, _ in found] == ["round", "error", "result", "done"]
    assert found[1][1]["error"]["type"] == "unavailable"
    assert found[2][1]["outcome"] == "failed"
    health = warm.client(None).get("/healthz")
    assert (health.status_code, health.json()["state"]) == (503, "failed")
    assert "evolve_small" in health.json()["why"]


def test_a_task_is_answered(client: TestClient, warm: Warm) -> None:
    answer = client.post("/v1/respond", json={"instruction": SEED}).json()
    assert (answer["outcome"], answer["finish_reason"], answer["tokens"]) == ("kept", "stop", 40)
    assert answer["response"] == client.post("/v1/respond", json={"instruction": SEED}).json()["response"]
    broken = Warm().client().post("/v1/respond", json={"instruction": "kill"})
    assert (broken.status_code, broken.json()["error"]["type"]) == (503, "unavailable")


def test_without_a_responder_evolvers_answer_and_without_a_scorer_nothing_is_scored() -> None:
    warm = Warm(responder={"kind": "evolver"}, scorer=None)
    client = warm.client()
    asked = {"instruction": SEED, "rounds": 1, "respond": True}
    results = client.post("/v1/evolve", json=asked).json()["results"]
    assert all(item["response"] for item in results)
    assert client.post("/v1/respond", json={"instruction": SEED}).json()["response"]
    assert client.post("/v1/evolve", json={**asked, "score": True}).status_code == 400
    refused = client.post("/v1/score", json={"pairs": [{"instruction": "a", "response": "b"}]})
    assert (refused.status_code, "scorer" in refused.json()["error"]["message"]) == (400, True)


def test_pairs_are_scored_in_order_and_not_too_many_at_once(client: TestClient) -> None:
    pairs = [{"instruction": f"What is {number}?", "response": f"A number, {number}."} for number in range(3)]
    scores = client.post("/v1/score", json={"pairs": pairs}).json()["scores"]
    alone = [client.post("/v1/score", json={"pairs": [pair]}).json()["scores"][0] for pair in pairs]
    assert scores == alone
    assert {"ifd", "ic_ifd", "loss_q", "n_a", "score_note"} <= scores[0].keys()
    refused = client.post("/v1/score", json={"pairs": [*pairs, pairs[0]]})
    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (400, "pairs")


def test_engines_are_listed_by_the_names_that_clients_use(client: TestClient) -> None:
    found = client.get("/v1/engines").json()["engines"]
    assert [(item["name"], item["role"], item["model"]) for item in found] == [
        ("small", "evolver", "tiny"),
        ("large", "evolver", "scripted"),
        ("respond", "responder", "scripted"),
        ("score", "scorer", "scripted"),
    ]
    assert all(item["state"] == "ready" for item in found)


def test_tokens_a_second_are_those_of_late() -> None:
    now = [100.0]
    figures = Figures(lambda: now[0])
    figures.wrote(50)
    now[0] += 5
    figures.wrote(150)
    assert figures.rate == 20
    now[0] += 6
    assert figures.rate == 15


def test_a_trial_is_what_a_run_does_with_the_same_seed(warm: Warm) -> None:
    """The row's id, from which its random numbers come, is that of a run's plan."""
    job = SynthesisJob(warm.config)
    seed = Seed(SEED, "x", "", seed_id(SEED, "x"))
    planned = next(planned_rows(seed, 4, "small", job.fanout()))
    asked = asked_strategy(warm.config, {"sampling": {"max_tokens": 77}}, {}, None)
    row = planned_row(Wish(asked, Instruction(SEED, "x"), [], index=4), "small")
    assert row == {name: planned[name] for name in row}
