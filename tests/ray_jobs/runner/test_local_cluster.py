"""A local cluster of a run: who can reach it, and what becomes of the run and of it when either is harmed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ray_jobs.runner.keeper import living
from tests.ray_jobs.samples import run_config, write_seeds

UP_SECONDS, END_SECONDS = 240, 120
LOOPBACK = ("127.0.0.1", "::ffff:127.0.0.1", "::1")

pytestmark = pytest.mark.ray


class Run:
    """An `evolve run` with a Ray of its own, and all its processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        write_seeds(folder / "seeds.jsonl", [f"Count to {number}." for number in range(200)])
        engine = {"kind": "scripted", "slots": 4, "decode_rate": 40, "call_log": str(folder / "calls")}
        evolvers: dict[str, Any] = {"a": {"engine": engine, "pool": {"size": 1, "batch_rows": 4}}}
        limits = {"drain_seconds": 45}
        config = run_config(folder, evolvers=evolvers, responder={"kind": "evolver"}, scorer=None, limits=limits)
        (folder / "run.yaml").write_text(config.model_dump_json())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ray_jobs.cli", "run", str(folder / "run.yaml")],
                env=environment | {"HOME": str(folder), "RAY_AUTH_MODE": "disabled"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.family: list[psutil.Process] = []

    @property
    def text(self) -> str:
        """What it has said so far."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def wait_until(self, name: str) -> None:
        """Wait until a process of it has this name; "" for until its engine is asked for something."""
        deadline = time.monotonic() + UP_SECONDS
        while not ((self._folder / "calls").exists() if not name else self.named(name)):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.02)
        self.look()

    def look(self) -> list[psutil.Process]:
        """All its processes, which are remembered."""
        self.family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return self.family

    def named(self, name: str) -> list[psutil.Process]:
        """Those of its processes that have a name."""
        return [item for item in self.look() if name in item.name() or name in " ".join(_line(item))]

    def ended(self) -> int:
        """Its exit code, once it has ended in time and in order and none of its processes is left."""
        code = self.process.wait(END_SECONDS)
        assert "Traceback" not in self.text
        assert "*** SIG" not in self.text
        assert "logging.cc" not in self.text
        deadline = time.monotonic() + 60
        while (left := living(self.family)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []
        return code

    def told(self) -> str:
        """The one line of ours about its end."""
        (line,) = (line for line in self.text.splitlines() if line.startswith("error: "))
        return line


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.process.kill()
    run.process.wait()
    for item in living(run.family):
        item.kill()


def test_nobody_else_reaches_it_and_a_signal_for_the_group_lets_it_finish_its_rows(run: Run, tmp_path: Path) -> None:
    run.wait_until("")
    ports = {}
    for item in run.look():
        open_ports = [c.laddr for c in item.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        ports[item.name()] = open_ports
        assert [address for address in open_ports if address.ip not in LOOPBACK] == [], item.name()
    # the list has what it is about: control service, node, agents and workers
    assert {name for name, found in ports.items() if found} > {"gcs_server", "raylet", "ray::DashboardAgent"}
    (raylet,) = run.named("raylet/raylet")
    assert raylet.environ()["RAY_AUTH_MODE"] == "token"
    token = raylet.environ()["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    assert not (tmp_path / ".ray").exists()
    assert {os.getpgid(item.pid) for item in run.named("gcs_server")}.isdisjoint({run.process.pid})
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.ended() == 10
    assert "stopped by SIGINT" in run.told()
    assert list((tmp_path / "out" / "data").glob("*.parquet"))


@pytest.mark.parametrize("seconds", [0.0, pytest.param(0.7, marks=pytest.mark.chaos_long)])
def test_a_signal_while_ray_starts_stops_the_run(run: Run, seconds: float) -> None:
    run.wait_until("gcs_server")
    time.sleep(seconds)
    run.process.send_signal(signal.SIGTERM)
    assert run.ended() == 10
    assert "SIGTERM" in run.told()


def test_two_signals_while_ray_starts_end_it_at_once(run: Run) -> None:
    run.wait_until("raylet/raylet")
    os.killpg(run.process.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.ended() in (10, 130)


@pytest.mark.parametrize(
    "organ",
    [
        "gcs_server",
        pytest.param("ray::RuntimeEnvAgent", marks=pytest.mark.chaos_long),
        pytest.param("raylet/raylet", marks=pytest.mark.chaos_long),
        pytest.param("ray::DashboardAgent", marks=pytest.mark.chaos_long),
    ],
)
def test_an_organ_that_is_killed_ends_the_run_with_a_line_of_ours(run: Run, organ: str) -> None:
    run.wait_until("")
    (item,) = run.named(organ)
    item.kill()
    assert run.ended() == 7
    assert "the same command goes on" in run.told()


def test_nothing_of_a_killed_run_is_left(run: Run) -> None:
    run.wait_until("")
    run.process.kill()
    assert run.ended() == -signal.SIGKILL
