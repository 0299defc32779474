"""What starts nothing: forecasts, schema, prompts, two runs side by side, and what configurations may not name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ray_jobs.service.answers import Refused
from ray_jobs.service.client_settings import refuse
from ray_jobs.service.config import Allowances
from ray_jobs.service.figures import waits_for
from ray_jobs.service.planning import DRAWN_SECONDS, Planning
from ray_jobs.service.runs import Runs
from ray_jobs.service.starting import Starting
from ray_jobs.service.state import ServiceState
from tests.ray_jobs.service.served import SETTINGS, Recorder, application, make_run

DEEPEN = {"evol_instruct/deepen": "Go deeper: {instruction}"}
SERVER = {"kind": "openai", "url": "http://good/v1", "model": "m", "api_key_env": "KEY"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plans")
    make_run(root / "runs" / "first")
    make_run(root / "runs" / "half", 60, finished=False)
    lines = [json.dumps({"instruction": f"Explain step {number}."}) for number in range(50)]
    (root / "seeds.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture
def client(root: Path, tmp_path: Path) -> Iterator[TestClient]:
    settings = {**SETTINGS, "seeds": {"path": str(root / "seeds.jsonl")}}
    state = ServiceState((str(root / "runs"),), settings, jobs=Recorder(), cache=str(tmp_path))
    with TestClient(application(state)) as client:
        yield client


def test_a_plan_forecasts_from_the_speed_of_earlier_runs_and_writes_nothing(client: TestClient, root: Path) -> None:
    before = sorted(root.rglob("*"))
    sent = {"strategy": {"kind": "evol_instruct", "rounds": 3, "templates": DEEPEN}}
    found = client.post("/v1/plan", json=sent).json()
    assert found["rows"]["evolvers"] == {"small": 50, "large": 50}
    assert found["from"] == ["first"]
    # 30 rows took 13,500 tokens at 225 a second
    assert found["forecast"]["tokens"] == pytest.approx(100 * 450)
    assert found["forecast"]["seconds"] == pytest.approx(50 * 450 / 225)
    one = client.post("/v1/plan", json={**sent, "seeds": [{"instruction": "x"}]}).json()
    assert one["rows"]["to_do"] == 2
    assert sorted(root.rglob("*")) == before


def test_seeds_are_counted_once_a_minute(root: Path, tmp_path: Path) -> None:
    seeds, moment = tmp_path / "seeds.jsonl", [0.0]
    state = ServiceState((str(root / "runs"),), {**SETTINGS, "seeds": {"path": str(seeds)}}, cache=str(tmp_path))
    runs = Runs(state)
    planning = Planning(runs, Starting(state, runs), clock=lambda: moment[0])

    def rows(number: int) -> int:
        seeds.write_text("".join(f'{{"instruction": "Say {item}."}}\n' for item in range(number)))
        return int(planning.plan({"strategy": {"kind": "evol_instruct", "rounds": number}})["rows"]["to_do"])

    assert [rows(3), rows(4)] == [6, 6]
    moment[0] += DRAWN_SECONDS
    assert rows(5) == 10


def test_where_no_run_has_used_a_model_the_plan_has_rows_and_says_why_no_more(client: TestClient) -> None:
    engine = {"kind": "scripted", "model": "another"}
    found = client.post("/v1/plan", json={"evolvers": {"new": {"engine": engine}}}).json()
    assert found["rows"]["to_do"] == 50
    assert found["forecast"] is None
    assert "another" in found["why"]


def test_a_wrong_configuration_is_told_field_by_field(client: TestClient) -> None:
    sent = {"strategy": {"rounds": 0, "templates": {"evol_instruct/deepen": 4}}, "evolver": {}}
    details = client.post("/v1/plan", json=sent).json()["error"]["details"]
    assert {item["field"] for item in details} == {"strategy.rounds", "strategy.templates", "evolver"}
    assert all(item["allowed"] for item in details)


def test_settings_are_checked_and_shown_whole_and_nothing_is_written(client: TestClient, root: Path) -> None:
    before = sorted(root.rglob("*"))
    sent = {"id": "mine", "seeds": [{"instruction": "Name a river."}], "strategy": {"rounds": 2}}
    found = client.post("/v1/validate", json=sent).json()
    assert found["valid"] is True
    assert found["settings"]["seeds"] == sent["seeds"]
    assert found["settings"]["evolvers"].keys() == SETTINGS["evolvers"].keys()
    assert sorted(root.rglob("*")) == before
    wrong = client.post("/v1/validate", json={**sent, "seeds": [{"instruction": " "}]})
    assert wrong.status_code == 400
    assert wrong.json()["error"]["details"][0]["field"] == "seeds"
    assert client.post("/v1/validate", json={**sent, "seeds": {"path": ["/etc/passwd"]}}).status_code == 403


def test_what_is_no_yaml_is_told_by_its_line_and_to_whoever_is_writing_as_an_answer(client: TestClient) -> None:
    body = b"id: x\nstrategy:\n  rounds: 2\n  elimi"
    assert client.post("/v1/plan", content=body).status_code == 400
    answer = client.post("/v1/plan", params={"check": True}, content=body)
    assert answer.status_code == 200
    assert answer.json()["valid"] is False
    assert answer.json()["error"]["details"][0]["field"] == "line:4"


@pytest.mark.parametrize("text", ["no placeholder", "{instruction} {secret}"])
def test_a_wrong_template_is_told_by_its_name(client: TestClient, text: str) -> None:
    sent = {"strategy": {"kind": "evol_instruct", "templates": {"evol_instruct/deepen": text}}}
    answer = client.post("/v1/plan", json=sent)
    assert answer.status_code == 400
    assert "templates.evol_instruct/deepen" in answer.json()["error"]["message"]


def test_schema_and_prompts_are_there_for_editors(client: TestClient) -> None:
    assert "strategy" in client.get("/v1/schema").json()["properties"]
    found = {item["name"]: item for item in client.get("/v1/templates").json()["templates"]}
    assert "instruction" in found["evol_instruct/deepen"]["placeholders"]


def test_two_runs_stand_side_by_side_and_their_seeds_are_joined(client: TestClient) -> None:
    found = client.get("/v1/compare", params={"a": "first", "b": "half"}).json()
    assert found["a"]["records"]["kept"] == 65
    assert 0 < found["b"]["kept_share"] < 1
    # the second run's seeds are the first ones of the first run's, with the same records
    assert found["seeds"]["both"] == found["seeds"]["b"] == 12
    assert found["difference"]["mean"] == 0
    assert found["wins"]["ties"] == found["seeds"]["scored"] > 0
    assert all(pair["a"]["instruction"] == pair["b"]["instruction"] for pair in found["pairs"])


def test_two_evolvers_of_one_run_are_compared_where_each_leads(client: TestClient) -> None:
    asked = {"a": "first", "b": "first", "a_evolver": "small", "b_evolver": "large", "order": "b"}
    found = client.get("/v1/compare", params=asked).json()
    assert {pair["a"]["evolver"] for pair in found["pairs"]} == {"small"}
    leads = np.array([pair["b"]["ic_ifd"] - pair["a"]["ic_ifd"] for pair in found["pairs"]])
    assert (np.diff(leads) <= 0).all()
    assert found["wins"]["b"] == (leads > 0).sum() > 0
    assert found["difference"]["low"] < leads.mean() < found["difference"]["high"]


@pytest.mark.parametrize(("name", "status"), [("b", 404), ("score", 400), ("order", 400)])
def test_what_cannot_be_compared_is_told(client: TestClient, name: str, status: int) -> None:
    answer = client.get("/v1/compare", params={"a": "first", "b": "half", name: "nothing"})
    assert answer.status_code == status
    assert "nothing" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "place", "allowed"),
    [
        ({"strategy": {"templates": "/etc"}}, "strategy.templates", "paths"),
        ({"strategy": {"constraints": "/etc/passwd"}}, "strategy.constraints", "paths"),
        ({"strategy": {"anything": "../elsewhere"}}, "strategy.anything", "paths"),
        ({"seeds": {"path": ["/etc/passwd"]}}, "seeds.path.0", "paths"),
        ({"seeds": {"path": ["tests"]}}, "seeds.path.0", "paths"),
        ({"seeds": {"path": "exam*/seeds.jsonl"}}, "seeds.path", "paths"),
        ({"seeds": {"path": "not-there.jsonl"}}, "seeds.path", "paths"),
        ({"seeds": {"path": "/etc/passwd\n"}}, "seeds.path", "paths"),
        ({"strategy": {"method": "found"}}, "strategy.method", "paths"),
        ({"seeds": {"path": "s3://another/bucket"}}, "seeds.path", "urls"),
        ({"seeds": {"path": ["s3://another/bucket"]}}, "seeds.path.0", "urls"),
        ({"seeds": {"path": "http://169.254.169.254/latest"}}, "seeds.path", "urls"),
        ({"seeds": {"path": "file:///etc/passwd"}}, "seeds.path", "paths urls"),
        ({"seeds": {"path": "simplecache::/etc/passwd"}}, "seeds.path", "paths urls"),
        ({"seeds": {"path": "reference::http://evil/index.json"}}, "seeds.path", "paths urls"),
        ({"seeds": {"path": "http://a/b::/etc/passwd"}}, "seeds.path", "paths urls"),
        ({"strategy": {"templates": "s3://another/bucket"}}, "strategy.templates", "urls"),
        ({"evolvers": {"a": {"engine": {"arguments": {"download_dir": "/root"}}}}}, "download_dir", "paths"),
        ({"strategy": {"templates": {"evol_instruct/deepen": "{instruction} ${KEY}"}}}, "deepen", "environment"),
        ({"evolvers": {"a": {"engine": {"headers": {"X": {"from": "KEY"}}}}}}, "headers.X", "environment"),
        ({"evolvers": {"a": {"engine": {**SERVER, "url": "http://evil/v1"}}}}, "(api_key_env|url)", "environment"),
        ({"strategy": {"kind": "os.path:join"}}, "strategy.kind", "plugins"),
        ({"scorer": {"arguments": {"trust_remote_code": True}}}, "trust_remote_code", "plugins"),
        ({"storage": {"key": "k"}}, "storage", "storage"),
        ({"ray": {"address": "ray://elsewhere"}}, "ray", None),
        ({"trackers": [{"kind": "wandb"}]}, "trackers", None),
    ],
)
def test_what_clients_may_not_name_passes_only_where_the_operator_allows_it(
    sent: dict[str, Any], place: str, allowed: str | None
) -> None:
    own = {"evolvers": {"a": {"engine": SERVER}}}
    with pytest.raises(Refused, match=place):
        refuse(sent, own)
    names = (allowed or "").split()
    for name in Allowances.model_fields if len(names) != 1 else Allowances.model_fields.keys() - names:
        with pytest.raises(Refused, match=place):
            refuse(sent, own, allow=Allowances.model_validate({name: True}))
    if names:
        refuse(sent, own, allow=Allowances.model_validate(dict.fromkeys(names, True)))


def test_what_the_service_itself_is_set_to_may_be_sent_back() -> None:
    own = {"evolvers": {"a": {"engine": SERVER, "weight": 1}}, "seeds": {"path": "/data/seeds.jsonl"}}
    sent = {"evolvers": {"a": {"engine": SERVER, "weight": 2}}, "seeds": {"path": "/data/seeds.jsonl", "limit": 5}}
    refuse(sent, own)
    refuse({"strategy": {"templates": {**DEEPEN, "evol_instruct/system": "costs $${5}"}}}, own)
    refuse({"strategy": {"templates": {"evol_instruct/deepen": "See https://example.org: {instruction}"}}}, own)
    refuse({"strategy": {"sampling": {"stop": [".", "/"]}, "kind": "evol_instruct"}}, own)
    refuse({"evolvers": {"b": {"engine": {"model": "org/name", "system": "~ be brief"}}}}, own)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"loading": 0, "ready": 0, "in_flight": 0, "cause": "CUDA"}, "machines: CUDA"),
        ({"loading": 2, "ready": 0, "in_flight": 0}, "its model, which 2"),
        ({"loading": 0, "ready": 1, "in_flight": 0}, "rows from evolve_small, evolve_large"),
        ({"loading": 1, "ready": 1, "in_flight": 7}, None),
    ],
)
def test_a_pool_says_what_it_waits_for(now: dict[str, Any], words: str | None) -> None:
    told = waits_for(now, ["evolve_small", "evolve_large"])
    assert told is None if words is None else words in str(told)
