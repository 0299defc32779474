"""Serve's fast ways, and HAProxy's pages on loopback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ray_jobs.runner.signals import ENDED_AT_ONCE, ONCE_SECONDS
from ray_jobs.service.fast import HAPROXY, make_fast

ENDED_BY_SIGNALS = """
import time
from ray_jobs.runner import supervisor
from ray_jobs.runner.signals import StopRequest
from ray_jobs.service.fast import own_folder
supervisor.split()
with own_folder() as folder, StopRequest().listening() as request:
    print(folder, flush=True)
    while not request.why:
        time.sleep(0.02)
    print("ending", flush=True)
    time.sleep(60)
"""


def test_haproxy_is_started_with_its_pages_on_loopback(tmp_path: Path) -> None:
    environment: dict[str, str] = {"RAY_SERVE_USE_GRPC_BY_DEFAULT": "0"}
    make_fast(tmp_path, environment)
    assert environment["RAY_SERVE_USE_GRPC_BY_DEFAULT"] == "0"
    assert environment[HAPROXY] == "1"
    wrapper = Path(environment["RAY_SERVE_HAPROXY_BINARY_PATH"])
    assert wrapper.stat().st_mode & 0o777 == 0o700
    config = tmp_path / "haproxy.cfg"
    config.write_text("frontend a\n    bind :9101\nfrontend b\n    bind 10.0.0.1:8400\nlisten stats\n  bind *:8404\n")
    # HAProxy checks the file and refuses it, for there is more to one
    subprocess.run([wrapper, "-c", "-f", config], capture_output=True, check=False)
    binds = [line.strip() for line in config.read_text().splitlines() if "bind" in line]
    assert binds == ["bind 127.0.0.1:9101", "bind 10.0.0.1:8400", "bind 127.0.0.1:8404"]


def test_serves_own_proxy_can_be_asked_for(tmp_path: Path) -> None:
    environment = {HAPROXY: "0"}
    make_fast(tmp_path, environment)
    assert "RAY_SERVE_HAPROXY_BINARY_PATH" not in environment
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_behind_where_a_second_signal_ends_the_service_at_once(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ENDED_BY_SIGNALS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.send_signal(number)
        assert process.stdout.readline() == "ending\n"
        time.sleep(ONCE_SECONDS)  # signals closer together are one
        process.send_signal(number)
        assert process.wait(60) == ENDED_AT_ONCE
    assert not folder.exists()
