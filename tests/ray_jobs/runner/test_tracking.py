"""Trackers: what they are told of a run, and that none of them can end or delay it."""

from __future__ import annotations

import gzip
import importlib.util
import logging
import re
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.config.load import validated
from ray_jobs.config.run import RunConfig
from ray_jobs.config.trackers import TrackedRun, TrackerKind
from ray_jobs.errors import ConfigError, Stopped
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.pipeline.monitor import PoolState, Snapshot, WorkerStats
from ray_jobs.runner.metrics import figures
from ray_jobs.runner.tracking import HANG_SECONDS, LOG_SECONDS, Tracking
from tests.http_servers import http_server
from tests.ray_jobs.samples import run_config
from tests.ray_jobs.scripted_tracker import KIND, ScriptedTrackerConfig, told


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def snapshot(done: int = 0, **state: Any) -> Snapshot:
    counts = OutcomeCounts(rows=done, outcomes=Counter({("a", 1, "kept", ""): done}))
    counts.sums["a", 1, "ic_ifd"], counts.counts["a", 1, "ic_ifd"] = 0.25 * done, done
    return Snapshot({"evolve_a": PoolState(WorkerStats(done=done), **state)}, counts, 1)


def tracked(kinds: Sequence[TrackerKind], said: list[str], clock: Clock, finish_seconds: float = 30) -> Tracking:
    def read(state: Snapshot) -> dict[str, float]:
        return figures(state, 4, 0, {})

    run = TrackedRun("0123", "synthesis", "s3://bucket/first", {"strategy.rounds": 2})
    return Tracking(kinds, run, read, {"evolve_a": 4}, said.append, clock, finish_seconds)


def until(condition: Any) -> None:
    """Wait until a tracker's thread has come so far."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def scripted(tmp_path: Path, name: str = "told", **trouble: Any) -> ScriptedTrackerConfig:
    return ScriptedTrackerConfig(file=str(tmp_path / name), **trouble)


def test_a_tracker_hears_of_the_run_its_pools_its_figures_and_its_end(tmp_path: Path) -> None:
    said: list[str] = []
    clock = Clock()
    with tracked([scripted(tmp_path)], said, clock) as run:
        for state in (snapshot(starts=1, loading=1), snapshot(2, starts=1, ready=1), snapshot(4, starts=1, ready=1)):
            run.observe(state)
            clock.seconds += LOG_SECONDS - 1
    heard = told(tmp_path / "told")
    assert heard[0] == (
        "start",
        {"name": "first", "run_id": "0123", "kind": "synthesis", "settings": {"strategy.rounds": 2}},
    )
    assert [what for step, what in heard if step == "stage"] == [
        ["evolve_a", moment] for moment in ("began", "ready", "ended")
    ]
    logged = [what for step, what in heard if step == "log"]
    # at first, as the pool ends, and at the end
    assert [what["evolve_pool_rows/evolve_a"] for what in logged] == [0, 4, 4]
    assert logged[-1]["evolve_mean/ic_ifd"] == 0.25
    assert logged[-1]["evolve_records/a/kept"] == 4
    assert logged[-1]["evolve_seconds"] == 3 * (LOG_SECONDS - 1)
    assert (heard[-1], said) == (("finish", "finished"), [])


@pytest.mark.parametrize(("error", "end"), [(Stopped("asked"), "stopped"), (ConfigError("wrong"), "failed")])
def test_a_tracker_hears_how_a_run_ends(tmp_path: Path, error: Exception, end: str) -> None:
    with pytest.raises(type(error)), tracked([scripted(tmp_path)], [], Clock()):
        raise error
    assert told(tmp_path / "told")[-1] == ("finish", end)


@pytest.mark.parametrize("step", ["start", "stage", "log", "finish"])
def test_a_tracker_that_raises_costs_one_line_and_the_others_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, step: Any
) -> None:
    said: list[str] = []
    clock = Clock()
    kinds = [scripted(tmp_path, "broken", fails=step), scripted(tmp_path, "sound")]
    with tracked(kinds, said, clock) as run:
        for done in range(5):
            run.observe(snapshot(done, starts=1, ready=1))
            clock.seconds += LOG_SECONDS
    (line,) = said
    assert re.fullmatch(
        r"tracker ScriptedTrackerConfig: SystemExit: http://\S+@tracker is away; .*, which goes on", line
    )
    assert "password" not in line
    assert told(tmp_path / "sound")[-1] == ("finish", "finished")
    assert caplog.messages == []
    logging.getLogger("library").error("of somebody else")
    assert caplog.messages == ["of somebody else"]


def test_a_tracker_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    said: list[str] = []
    clock = Clock()
    began = time.monotonic()
    with tracked([scripted(tmp_path, "hung", hangs="log"), scripted(tmp_path, "sound")], said, clock, 0.2) as run:
        run.observe(snapshot(starts=1))
        until(lambda: len(told(tmp_path / "hung")) == 2)
        until(lambda: len(told(tmp_path / "sound")) == 3)
        clock.seconds += HANG_SECONDS - 1
        run.observe(snapshot(1, starts=1))
        assert said == []
        until(lambda: len(told(tmp_path / "sound")) == 5)
        clock.seconds += 1
        run.observe(snapshot(2, starts=1))
        assert len(said) == 1
        assert "has not answered for 60 s" in said[0]
    assert time.monotonic() - began < HANG_SECONDS
    assert (len(said), told(tmp_path / "sound")[-1]) == (1, ("finish", "finished"))


def test_one_that_hangs_at_the_end_is_told_of_too(tmp_path: Path) -> None:
    said: list[str] = []
    with tracked([scripted(tmp_path, hangs="finish")], said, Clock(), 0.2) as run:
        run.observe(snapshot(starts=1))
    assert len(said) == 1
    assert "has not answered" in said[0]


def spans_of(bodies: list[bytes]) -> dict[str, Any]:
    """The spans that a collector was sent, by name."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    scopes = [scope for request in requests for found in request.resource_spans for scope in found.scope_spans]
    return {span.name: span for scope in scopes for span in scope.spans}


def collector(bodies: list[bytes], answers: list[int]) -> type[BaseHTTPRequestHandler]:
    """A collector that keeps what it takes, and gives these answers first."""

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = answers.pop(0) if answers else 200
            if code == 200:
                bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Collector


@pytest.mark.parametrize("answers", [[], [400]], ids=["there", "away once"])
def test_a_collector_gets_a_span_of_the_run_and_of_each_pool(tmp_path: Path, answers: list[int]) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra opentelemetry is not installed")
    bodies: list[bytes] = []
    said: list[str] = []
    clock = Clock()
    with http_server(collector(bodies, answers)) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        kind = run_config(tmp_path, trackers=[{"kind": "opentelemetry", "endpoint": endpoint}]).trackers
        with tracked(kind, said, clock) as run:
            for state in (snapshot(starts=1), snapshot(4, starts=1, ready=1), snapshot(4, starts=1, ready=1)):
                run.observe(state)
                clock.seconds += LOG_SECONDS
    spans = spans_of(bodies)
    assert (set(spans), said) == ({"evolve run", "evolve_a"}, [])
    whole, pool = spans["evolve run"], spans["evolve_a"]
    assert pool.parent_span_id == whole.span_id
    assert [event.name for event in pool.events] == ["ready"]
    assert whole.start_time_unix_nano <= pool.start_time_unix_nano < pool.end_time_unix_nano <= whole.end_time_unix_nano
    assert {item.key: item.value.string_value for item in whole.attributes}["evolve.end"] == "finished"
    assert {item.key: item.value.int_value for item in pool.attributes}["evolve_pool_rows"] == 4


def test_a_collector_that_is_away_costs_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra opentelemetry is not installed")
    said: list[str] = []
    with http_server(collector([], [400] * 9)) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}/v1/traces"
        kind = run_config(tmp_path, trackers=[{"kind": "opentelemetry", "endpoint": endpoint}]).trackers
        with tracked(kind, said, Clock()):
            pass
    assert len(said) == 1
    assert "1 spans were not taken by the collector" in said[0]
    assert caplog.messages == []


def test_they_are_part_of_a_configuration_and_of_no_identity(tmp_path: Path) -> None:
    from ray_jobs.config.identity import result_settings

    plain = run_config(tmp_path)
    several = [
        {"kind": "mlflow", "uri": "https://me:secret@host"},
        {"kind": "wandb"},
        {"kind": "trackio"},
        {"kind": "opentelemetry"},
        {"kind": KIND, "file": "x"},
    ]
    config = run_config(tmp_path, trackers=several)
    assert result_settings(config) == result_settings(plain)
    dumped = config.model_dump(mode="json")
    assert [tracker["kind"] for tracker in dumped["trackers"]] == [tracker["kind"] for tracker in several]
    assert "secret" not in str(dumped)
    with pytest.raises(ConfigError, match=r"trackers.*did you mean mlflow"):
        validated(RunConfig, plain.model_dump(mode="json") | {"trackers": [{"kind": "mlflo"}]}, "run.yaml")


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("wandb", {"kind": "wandb", "mode": "offline", "folder": "here"}),
        ("mlflow", {"kind": "mlflow", "uri": "sqlite:///here.db"}),
        ("trackio", {"kind": "trackio"}),
    ],
)
def test_a_library_that_is_not_installed_costs_one_line(tmp_path: Path, module: str, settings: dict[str, Any]) -> None:
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")
    said: list[str] = []
    config = run_config(tmp_path, trackers=[settings])
    with tracked(config.trackers, said, Clock()) as run:
        run.observe(snapshot(starts=1))
    why = f"ModuleNotFoundError: No module named '{module}'"
    assert said == [f"tracker {module}: {why}; it hears no more of this run, which goes on"]
