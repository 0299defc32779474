"""Runs as jobs of a real Ray head, through the `evolve` command: their logs, exit codes, ends and second tries."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.service.submit import PACKED_CONFIG
from tests.ray_jobs.ray_head import RayHead
from tests.ray_jobs.secret_places import files_that_show, shows, watched_titles

ROOT = Path(__file__).parents[3]
SLOW = ["--set", "evolvers.a.engine.decode_rate=40"]
"""One second a prompt: long enough to be stopped or killed in the middle."""

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Place:
    """A working directory with the packages and a configuration, and a head to submit it to."""

    head: RayHead
    folder: Path
    output: Path

    def evolve(self, *arguments: str, **variables: str) -> Done:
        """Run the command to its end."""
        return self.start(*arguments, **variables).done()

    def start(self, *arguments: str, **variables: str) -> Started:
        """Run the command beside the test."""
        command = [sys.executable, "-m", "ray_jobs.cli", *arguments]
        environment = self.head.environment() | variables
        return Started(subprocess.Popen(command, cwd=self.folder, env=environment, stdout=-1, stderr=-1, text=True))

    def submit(self, job_id: str, *more: str) -> list[str]:
        return ["submit", "run.yaml", "--address", self.head.address, "--job-id", job_id, *more]

    def wait_for(self, job_id: str, committed: bool) -> dict[str, Any]:
        """Wait until a job runs, and has committed a part where that is asked for; what the cluster knows of it."""
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            jobs = {job["submission_id"]: job for job in self.head.get("/api/jobs/")}
            if jobs.get(job_id, {}).get("driver_info") and (
                not committed or list(self.output.glob("entries/*/part-*"))
            ):
                return dict(jobs[job_id])
            time.sleep(0.3)
        raise AssertionError(f"job {job_id} did not come as far as expected")


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[str]

    def done(self) -> Done:
        out, err = self.process.communicate(timeout=280)
        return subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)


@pytest.fixture
def place(head: RayHead, tmp_path: Path) -> Place:
    folder = tmp_path / "work"
    for package in ("evolve", "scoring", "ray_jobs"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "examples" / "seeds.jsonl", folder / "seeds.jsonl")
    config = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": "seeds.jsonl", "limit": 24},
        "strategy": {"rounds": 2},
        "evolvers": {"a": {"engine": {"kind": "scripted"}, "pool": {"batch_rows": 4, "batches_in_flight": 1}}},
        "responder": {"kind": "evolver"},
        "scorer": {"kind": "scripted"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return Place(head, folder, tmp_path / "out")


def rows_done(log: str) -> int:
    """How many rows were done when the run of this log began."""
    [line] = [line for line in log.splitlines() if line.startswith("plan:")]
    return int(line.split(" rows, ")[1].split()[0])


def test_a_job_is_followed_to_its_end_and_what_is_secret_travels_in_the_package_alone(place: Place) -> None:
    config = yaml.safe_load((place.folder / "run.yaml").read_text())
    config["storage"] = {"key": {"from": "STORE_KEY"}}
    (place.folder / "run.yaml").write_text(yaml.safe_dump(config))
    variables = ["--env", "PASSED_ON", "--env", "STORE_KEY"]
    given = place.submit("good", "--follow", "--set", "storage.secret=okapi-set", *variables)
    with watched_titles() as titles:
        done = place.evolve(*given, PASSED_ON="zebra-4711", STORE_KEY="okapi-env")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "job good: SUCCEEDED, exit code 0" in done.stdout
    assert "48 records planned: 48 kept" in done.stdout
    assert (place.output / "_SUCCESS").exists()
    assert "zebra-4711" not in done.stdout + done.stderr
    assert [path for path in place.output.rglob("*") if path.is_file() and b"zebra-4711" in path.read_bytes()] == []

    assert not shows(done.stdout + done.stderr)
    # what was typed here is in its own command line
    assert [title for title in titles if " submit " not in title] == []
    assert not shows(json.dumps(place.head.get("/api/jobs/")))
    assert [item for item in files_that_show(place.head.folder) if not item.endswith((PACKED_CONFIG, ".zip"))] == []
    assert files_that_show(place.output) == []

    status = place.evolve("status", "good", "--address", place.head.address)
    assert "status   SUCCEEDED" in status.stdout
    assert f"run {PACKED_CONFIG}" in status.stdout
    assert "zebra-4711" not in status.stdout
    told = json.loads(place.evolve("status", "good", "--address", place.head.address, "--json").stdout)["job"]
    assert (told["status"], told["exit_code"], told["cause"]) == ("SUCCEEDED", 0, None)
    assert told["began"] < told["ended"]

    # what docs/operations.md warns of: whoever holds the token reads the value, a browser sees its name alone
    [job] = [job for job in place.head.get("/api/jobs/") if job["submission_id"] == "good"]
    assert job["runtime_env"]["env_vars"]["PASSED_ON"] == "zebra-4711"
    browser = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Mode": "cors"}
    [job] = [job for job in place.head.get("/api/jobs/", **browser) if job["submission_id"] == "good"]
    assert "zebra" not in job["runtime_env"]["env_vars"]["PASSED_ON"]


def test_a_configuration_that_is_wrong_on_the_cluster_alone_ends_the_job_with_2(place: Place) -> None:
    done = place.evolve(*place.submit("bad", "--follow"), "--set", "evolvers.a.engine={model: ./no-such-model}")
    assert done.returncode == 2
    assert "there is no folder ./no-such-model" in done.stdout
    assert "job bad: FAILED, exit code 2" in done.stdout
    assert not place.output.exists()


def test_a_job_whose_budget_does_not_reach_leaves_with_11(place: Place) -> None:
    priced = ["--set", "limits.budget.money=1", "--set", "evolvers.a.pool.price=3600"]
    done = place.evolve(*place.submit("spent", "--follow"), *priced)
    assert done.returncode == 11, done.stdout + done.stderr
    assert "error: limits.budget.money allows 1: 0.000 are spent" in done.stdout
    assert "job spent: FAILED, exit code 11" in done.stdout


def test_a_stopped_job_commits_what_was_finished_and_leaves_with_10(place: Place) -> None:
    followed = place.start(*place.submit("stopped", "--follow"), *SLOW)
    place.wait_for("stopped", committed=True)
    stop = place.evolve("stop", "stopped", "--address", place.head.address)
    assert stop.stdout == "job stopped: is asked to stop\n"
    done = followed.done()
    assert done.returncode == 10, done.stdout + done.stderr
    assert "stopped by SIGTERM; what was finished is committed" in done.stdout
    assert not (place.output / "_SUCCESS").exists()
    assert "had ended already" in place.evolve("stop", "stopped", "--address", place.head.address).stdout


def test_a_killed_job_that_is_submitted_again_goes_on(place: Place) -> None:
    followed = place.start(*place.submit("killed", "--follow"), *SLOW)
    job = place.wait_for("killed", committed=True)
    os.kill(int(job["driver_info"]["pid"]), signal.SIGKILL)
    assert followed.done().returncode == 128 + signal.SIGKILL
    again = place.evolve(*place.submit("again", "--follow"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert 0 < rows_done(again.stdout) < 24
    assert "48 records planned: 48 kept" in again.stdout


def test_the_documented_line_without_our_command_does_the_same(place: Place) -> None:
    [line] = re.findall(
        r"^(ray job submit(?:.|\n)*?)\n```", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE
    )
    here = line.replace("http://127.0.0.1:8265", place.head.address).replace("examples/cluster.yaml", "run.yaml")
    environment = place.head.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        here, shell=True, cwd=place.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "48 records planned: 48 kept" in done.stdout


def test_an_id_is_taken_once(place: Place) -> None:
    wrong = ["--set", "evolvers.a.engine={model: ./no-such-model}"]
    sent = json.loads(place.evolve(*place.submit("twice"), *wrong, "--json").stdout)
    assert (sent["job"], sent["files"] > 1, sent["package_bytes"] > 0) == ("twice", True, True)
    again = place.evolve(*place.submit("twice"), *wrong)
    assert again.returncode == 7
    assert "twice already exists" in again.stderr


def test_a_job_that_is_not_there_is_told(place: Place) -> None:
    done = place.evolve("status", "nowhere", "--address", place.head.address)
    assert done.returncode == 7
    assert "knows no job 'nowhere'" in done.stderr


def test_a_cluster_is_not_asked_without_its_token(place: Place) -> None:
    done = place.evolve("status", "good", "--address", place.head.address, RAY_AUTH_TOKEN="0" * 64)
    assert done.returncode == 7
    assert "Set RAY_AUTH_MODE=token" in done.stderr
    assert "Traceback" not in done.stderr
