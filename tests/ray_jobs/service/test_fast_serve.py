"""Serve's fast ways, and HAProxy's pages on loopback."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ray_jobs.service.fast import HAPROXY, make_fast


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
