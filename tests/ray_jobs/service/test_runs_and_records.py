"""Runs and records over HTTP, on outputs that were written before the service began."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from ray_jobs.output import accept
from ray_jobs.service.index import key_of
from ray_jobs.service.jobs import JobState
from ray_jobs.service.records import Filter, Records
from ray_jobs.service.routes.console import POLICY, assets
from ray_jobs.service.state import ServiceState
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import read_records
from tests.ray_jobs.samples import commit_part, new_epoch, plan_numbers
from tests.ray_jobs.service.served import HOSTILE, SETTINGS, Recorder, application, make_run


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    make_run(root / "first")
    make_run(root / "half", 60, finished=False)
    (root / "seeds.jsonl").write_text('{"instruction": "x"}\n')
    return root


@pytest.fixture
def jobs() -> Recorder:
    return Recorder()


@pytest.fixture
def client(roots: Path, jobs: Recorder, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(application(ServiceState((str(roots),), SETTINGS, jobs=jobs, cache=str(tmp_path)))) as client:
        yield client


@pytest.fixture
def everything(roots: Path) -> list[dict[str, Any]]:
    """All records of the first run, as a plain reader of its files sees them."""
    store = open_store(str(roots / "first"))
    found = read_records(store, "staging")
    assert len(found) == 90
    return [{"outcome": item.get("status") or "kept", **item} for item in found]


def test_runs_are_listed_from_their_outputs(client: TestClient) -> None:
    runs = {run["id"]: run for run in client.get("/v1/runs").json()["runs"]}
    assert runs.keys() == {"first", "half"}
    assert runs["first"]["state"] == "finished"
    assert runs["half"]["state"] == "stopped"
    assert len(runs["first"]["by_round"]["ic_ifd"]) == 3
    assert min(runs["first"]["by_round"]["ic_ifd"]) < runs["first"]["means"]["ic_ifd"]
    assert max(runs["first"]["by_round"]["ic_ifd"]) > runs["first"]["means"]["ic_ifd"]
    # what is retracted is not asked for any more
    assert runs["half"]["rows"] == {"planned": 38, "done": 20}
    assert runs["half"]["records"]["planned"] == 3 * 38
    assert sum(runs["first"]["records"][name] for name in ("kept", "rejected", "failed")) == 90


def test_one_run_has_reasons_pools_and_speed(client: TestClient) -> None:
    while (run := client.get("/v1/runs/first").json())["indexing"]:
        """It is made a little at each look."""
    assert {item["reason"] for item in run["reasons"]} == {"refusal", "truncated", "ServerError"}
    assert [pool["name"] for pool in run["pools"]] == ["evolve_small", "evolve_large"]
    assert sum(item["tokens_per_second"] * 10 for item in run["speed"]) == sum(150 + number for number in range(90))
    assert run["scores"]["ic_ifd"]["evolvers"].keys() == {"small", "large"}
    fallen = {stage: sum(item["count"] for item in items) for stage, items in run["fallen"].items()}
    assert fallen == {"evolve": run["records"]["rejected"], "respond": run["records"]["failed"]}
    # how a pool stood is of the past once the run is over
    assert [pool["waits_for"] for pool in run["pools"]] == [None, None]


@pytest.mark.parametrize("run_id", ["none", "..", "%2e%2e", "_seeds"])
def test_what_is_no_run_below_the_roots_is_not_found(client: TestClient, run_id: str) -> None:
    answer = client.get(f"/v1/runs/{run_id}/records")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"outcome": "rejected"},
        {"evolver": "small", "round": 2},
        {"reason": "ServerError"},
        {"outcome": "kept", "evolver": "large", "round": 3},
    ],
)
def test_filters_let_through_what_they_say(
    client: TestClient, everything: list[dict[str, Any]], wanted: dict[str, Any]
) -> None:
    expected = [item for item in everything if all(item.get(name) == value for name, value in wanted.items())]
    found = client.get("/v1/runs/first/records", params=wanted).json()
    assert found["total"] == len(expected) > 0
    ids = {item["record_id"] for item in found["records"]}
    assert ids <= {item["record_id"] for item in expected}
    assert len(ids) == min(50, len(expected))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_sorting_puts_nulls_last_and_pages_hold_each_record_once(
    client: TestClient, everything: list[dict[str, Any]], order: str
) -> None:
    asked = [
        client.get("/v1/runs/first/records", params={"sort": "ic_ifd", "order": order, "page": page}).json()
        for page in (1, 2)
    ]
    found = [item for answer in asked for item in answer["records"]]
    assert len({item["record_id"] for item in found}) == 90
    scores = [item["ic_ifd"] for item in found]
    known = sorted((item["ic_ifd"] for item in everything if item.get("ic_ifd") is not None), reverse=order == "desc")
    assert scores == known + [None] * (90 - len(known))


def test_ranges_bound_numbers(client: TestClient, everything: list[dict[str, Any]]) -> None:
    found = client.get("/v1/runs/first/records", params={"min_ic_ifd": 0.3, "max_ic_ifd": 0.6}).json()
    assert found["total"] == sum(0.3 <= (item.get("ic_ifd") or 9) <= 0.6 for item in everything)


def test_counts_beside_filters_heed_the_other_filters(client: TestClient, everything: list[dict[str, Any]]) -> None:
    facets = client.get("/v1/runs/first/records", params={"outcome": "rejected", "evolver": "small"}).json()["facets"]
    outcomes = {item["value"]: item["count"] for item in facets["outcome"]}
    assert outcomes["kept"] == sum((item["outcome"], item["evolver"]) == ("kept", "small") for item in everything)


@pytest.mark.parametrize(("name", "value"), [("sort", "output"), ("page", "99999"), ("min_ifd", "much")])
def test_a_wrong_query_is_told_by_its_field(client: TestClient, name: str, value: str) -> None:
    answer = client.get("/v1/runs/first/records", params={name: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["field"] == name


def test_a_row_has_all_its_rounds_whatever_became_of_them(client: TestClient, everything: list[dict[str, Any]]) -> None:
    row = next(item["row_id"] for item in everything if item["outcome"] == "failed")
    rounds = client.get(f"/v1/runs/first/records/{row}").json()["rounds"]
    assert [item["round"] for item in rounds] == [1, 2, 3]
    assert "failed" in {item["outcome"] for item in rounds}
    assert client.get("/v1/runs/first/records/nobody").status_code == 404


def test_search_finds_texts_and_heeds_filters(client: TestClient) -> None:
    hits = client.get("/v1/runs/first/search", params={"q": "BOLD"}).text
    assert hits.count("event: hit") == 1
    assert '"hits": 1' in hits
    assert "event: hit" not in client.get("/v1/runs/first/search", params={"q": "bold", "outcome": "failed"}).text


def test_search_can_be_stopped_between_row_groups(roots: Path, tmp_path: Path) -> None:
    store = open_store(str(roots / "first"))
    records = Records(store, accept.load(store), tmp_path)
    records.prepare()
    found = records.search(Filter(), "Explain")
    assert "record" in next(found)
    found.close()


def test_rows_of_two_parts_are_counted_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    epoch = new_epoch(store)
    plan_numbers(epoch, 4)
    commit_part(epoch, 0, 1)
    commit_part(epoch, 1, 2)
    records = Records(store, accept.load(store), tmp_path)
    records.prepare()
    page = records.page(Filter(), None, False, 1)
    assert page["total"] == 6
    assert len({item["record_id"] for item in page["records"]}) == 6


def test_an_index_that_is_thrown_away_is_made_again(roots: Path, tmp_path: Path) -> None:
    store = open_store(str(roots / "first"))
    for _ in range(2):
        records = Records(store, accept.load(store), tmp_path)
        assert records.prepare() == (4, 4)
        for file in tmp_path.iterdir():
            file.unlink()
        assert records.page(Filter(), "ifd", True, 1)["total"] == 90


def test_short_ids_have_keys_too() -> None:
    assert key_of("a") != key_of("b")
    assert key_of("x" * 40 + "1") != key_of("x" * 40 + "2")


def test_a_run_is_started_with_the_services_settings(client: TestClient, jobs: Recorder, roots: Path) -> None:
    sent = {
        "id": "new",
        "seeds": [{"instruction": "Explain tides."}],
        "strategy": {"kind": "evol_instruct", "rounds": 2},
    }
    assert client.post("/v1/runs", json=sent).status_code == 201
    assert jobs.asked == [("start", "new")]
    assert jobs.settings["output"] == f"{roots}/new"
    assert "Explain tides." in Path(jobs.settings["seeds"]["path"]).read_text()
    assert jobs.settings["evolvers"] == SETTINGS["evolvers"]
    assert client.get("/v1/runs/new").json()["state"] == "waiting"


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        ({"id": "new", "strategy": {"kind": "evol_instruct", "rounds": 0}}, 400, "strategy.rounds"),
        ({"id": "first"}, 400, "id"),
        ({"id": "../up"}, 400, "id"),
        ({"id": "new", "seeds": []}, 400, "seeds"),
        ({"id": "new", "seeds": {"path": "/etc/passwd"}}, 403, "seeds.path"),
        ({"id": "new", "strategy": {"templates": "/etc"}}, 403, "strategy.templates"),
        ({"id": "new", "strategy": {"kind": "os.path:join"}}, 403, "strategy.kind"),
        ({"id": "new", "storage": {"key": "k"}}, 403, "storage"),
        ({"id": "new", "evolvers": {"small": {"engine": {"environment": {"LD_PRELOAD": "x"}}}}}, 403, "environment"),
    ],
)
def test_what_clients_may_not_send_is_refused_by_its_field(
    client: TestClient, jobs: Recorder, sent: dict[str, Any], status: int, word: str
) -> None:
    answer = client.post("/v1/runs", json=sent)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["error"]["message"]
    assert jobs.asked == []


def test_a_run_is_resumed_stopped_and_verified(client: TestClient, jobs: Recorder, roots: Path) -> None:
    assert client.post("/v1/runs/half/stop").status_code == 404
    assert client.post("/v1/runs/half/resume").json()["job"] == "job-half"
    assert jobs.settings["output"] == f"{roots}/half"
    assert client.post("/v1/runs/half/stop").json()["stopping"]
    assert client.post("/v1/runs/half/retry-failed").status_code == 200
    assert client.post("/v1/runs/half/verify").json()["done"] == 20


@pytest.mark.parametrize(("began", "state"), [(1.0, "stopped"), (4e9, "running")])
def test_a_job_whose_driver_is_gone_is_none_that_begins(
    client: TestClient, jobs: Recorder, began: float, state: str
) -> None:
    # the cluster knows of a driver's end a moment later
    jobs.states["half"] = JobState("job-half", "running", began)
    assert client.get("/v1/runs/half").json()["state"] == state


def test_without_a_cluster_nothing_is_started(roots: Path, tmp_path: Path) -> None:
    with TestClient(application(ServiceState((str(roots),), SETTINGS, cache=str(tmp_path)))) as client:
        assert "evolve run" in client.post("/v1/runs/half/resume").json()["error"]["message"]


def test_the_console_is_small_and_nothing_runs_but_its_files(client: TestClient) -> None:
    page = client.get("/records/first")
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "<style" not in page.text
    assert sum(len(file.read_bytes()) for file in assets().values()) < 150_000
    assert client.get("/static/../runs.py").status_code == 404
    assert client.get("/static/vendor/htm-preact.js").status_code == 200


def test_hostile_text_travels_as_text(client: TestClient) -> None:
    found = client.get("/v1/runs/first/records", params={"outcome": "kept"}).json()["records"]
    assert HOSTILE in {item["instruction"] for item in found}
