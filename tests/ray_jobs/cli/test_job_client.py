"""Jobs of a cluster, asked over a real connection: whose address counts, which jobs there are, why one failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ray.dashboard.modules.job.pydantic_models import JobDetails, JobType

from ray_jobs.config.run import RayConfig
from ray_jobs.errors import ClusterError, ConfigError
from ray_jobs.jobs.registry import jobs_of, run_all
from ray_jobs.runner.address import check_address
from ray_jobs.service.job_client import AGENT_SECONDS, NO_AGENT, JobClient, cause_of, describe, progress_in
from tests.http_servers import http_server
from tests.ray_jobs.samples import run_config, write_seeds

LOG = """plan: 10 seeds, 20 rows, 0 done (0 leftover files removed, 0 parts without files dropped)
something else
2026-05-04 03:02:01 +1:20 evolve_a: 5/20 rows, 3 in flight, 0 not kept, 1 ready, 12 tokens/s, ETA 3:00
2026-05-04 03:02:01 +1:20 committed 4 of 20 rows in 1 new parts, ETA 3:00
"""


class Dashboard(BaseHTTPRequestHandler):
    """As much of a dashboard as a client asks for: its version, a list of one job, no other job; agents that are late.

    `asked` is how often it was to take a job.
    """

    asked = 0

    def do_GET(self) -> None:
        job = {"type": "SUBMISSION", "submission_id": "raysubmit_river", "status": "RUNNING", "entrypoint": "evolve"}
        known = {"/api/version": {"version": "4", "ray_version": "2.0.0", "ray_commit": "y"}, "/api/jobs/": [job]}
        content = known.get(self.path)
        body = b"Job does not exist" if content is None else json.dumps(content).encode()
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Dashboard.asked += 1
        ready = Dashboard.asked > 2
        told = json.dumps({"job_id": "river", "submission_id": "river"}) if ready else f"{NO_AGENT} to submit job"
        self.send_response(200 if ready else 500)
        self.end_headers()
        self.wfile.write(told.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def dashboard() -> Iterator[str]:
    with http_server(Dashboard) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("variable", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_the_address_that_is_given_counts(variable: str, dashboard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(ClusterError, match="knows no job 'raysubmit_rivet'; it has raysubmit_river"):
        JobClient(dashboard).info("raysubmit_rivet")


def test_a_job_waits_for_agents_that_are_not_there_yet(dashboard: str) -> None:
    Dashboard.asked = 0
    assert JobClient(dashboard, wait_seconds=0).submit(entrypoint="evolve") == "river"
    Dashboard.asked, moments = -9, iter([0.0, 1.0, AGENT_SECONDS + 1])
    with pytest.raises(ClusterError, match=NO_AGENT):
        JobClient(dashboard, lambda: next(moments), wait_seconds=0).submit(entrypoint="evolve")
    assert Dashboard.asked == -7


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:8265", "ftp://host", "http://", "http://[::1", "http://host:99999", "http://a b", "auto"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match="expected the URL of a cluster's dashboard"):
        JobClient(address)


def test_a_cluster_that_is_not_there_is_told() -> None:
    with pytest.raises(ClusterError, match="no Ray cluster answers here"):
        JobClient("http://127.0.0.1:9")


@pytest.mark.parametrize("configured", [None, "http://127.0.0.1:8265"])
def test_a_run_joins_no_dashboard(configured: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "https://cluster:8265")
    with pytest.raises(ClusterError, match=r"dashboard.*HOST:PORT"):
        check_address(RayConfig.model_validate({"address": configured}))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:port", ":6379", "a b:1"])
def test_an_address_that_names_no_cluster_is_told_before_anything_is_written(address: str, tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", ["Count."])
    jobs = jobs_of(run_config(tmp_path, ray={"address": address}))
    with pytest.raises(ClusterError, match=r"ray\.address .* names no cluster.*HOST:PORT"):
        run_all(jobs, say=lambda line: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "address", ["auto", "local", "node_1:6379", "[::1]:6379", "ray://127.0.0.1:10001", "ray://head"]
)
def test_what_ray_joins_is_an_address(address: str) -> None:
    check_address(RayConfig(address=address))


def details(status: str, message: str) -> JobDetails:
    return JobDetails(type=JobType.SUBMISSION, entrypoint="evolve run", status=status, message=message)


def test_a_failed_job_tells_the_cause_that_its_run_told() -> None:
    message = (
        "Job entrypoint command failed with exit code 6, last available logs:\nplan: 1\nerror: pool a: no engine\n"
    )
    assert cause_of(details("FAILED", message)) == "pool a: no engine"
    assert "cause    pool a: no engine" in describe(details("FAILED", message))
    assert "driver died" in describe(details("FAILED", "The driver died"))


def test_a_job_tells_how_far_its_run_is() -> None:
    assert [line.split(" ")[0] for line in progress_in(LOG)] == ["plan:", "2026-05-04", "2026-05-04"]
    assert "committed 4 of 20" in describe(details("RUNNING", ""), LOG)
