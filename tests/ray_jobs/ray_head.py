"""A Ray head of its own for tests: own ports, own folder, token authentication, ended by its process id."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).parents[2]
START_SECONDS = 180
STARTED = "Ray runtime started"


@dataclass(frozen=True)
class RayHead:
    """A running head: its dashboard's address, that of its cluster, its metrics page, its token and its folder."""

    address: str
    gcs_address: str
    metrics_url: str
    token: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """This process's environment for a client of the head."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return inherited | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def get(self, path: str, **headers: str) -> Any:
        """What the dashboard answers to a request, as JSON."""
        allowed = {"Authorization": f"Bearer {self.token}", **headers}
        answer = requests.get(f"{self.address}{path}", headers=allowed, timeout=30)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def ray_head(cpus: int, node_types: dict[str, Any] | None = None, delay_seconds: float = 0) -> Iterator[RayHead]:
    """Start a head with `cpus` logical CPUs, and end it and all its processes.

    With `node_types`, those of a cluster's configuration, it adds nodes of these types to itself, each
    `delay_seconds` after it was wanted, and takes those away that idle for three seconds.
    """
    folder = Path(tempfile.mkdtemp(prefix="rh-", dir="/tmp"))  # socket paths must stay short
    ports = dict(zip(("gcs", "dashboard", "metrics", "client", "agent"), free_ports(5), strict=True))
    token = secrets.token_hex(32)
    binaries = Path(sys.executable).parent
    head = RayHead(
        address=f"http://127.0.0.1:{ports['dashboard']}",
        gcs_address=f"127.0.0.1:{ports['gcs']}",
        metrics_url=f"http://127.0.0.1:{ports['metrics']}/metrics",
        token=token,
        folder=folder,
    )
    environment = head.environment() | {
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PATH": f"{binaries}:{os.environ['PATH']}",
    }
    command = [
        *(str(binaries / "ray"), "start", "--head", "--block", f"--num-cpus={cpus}", "--disable-usage-stats"),
        *(f"--port={ports['gcs']}", f"--dashboard-port={ports['dashboard']}", f"--temp-dir={folder}"),
        *(f"--metrics-export-port={ports['metrics']}", f"--ray-client-server-port={ports['client']}"),
        *(f"--dashboard-agent-listen-port={ports['agent']}", "--object-store-memory=100000000"),
    ]
    if node_types is not None:
        cluster = _cluster(cpus, node_types, head.gcs_address, delay_seconds)
        (folder / "cluster.json").write_text(json.dumps(cluster))
        command.append(f"--autoscaling-config={folder / 'cluster.json'}")
        environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "PYTHONPATH": str(ROOT)}
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_up(head, process)
        yield head
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _cluster(cpus: int, node_types: dict[str, Any], gcs_address: str, delay_seconds: float) -> dict[str, Any]:
    """A cluster's configuration whose machines are processes of this one. The fake provider wants this head's name."""
    head = {"ray.head.default": {"resources": {"CPU": cpus}, "node_config": {}, "max_workers": 0}}
    return {
        "cluster_name": "fake",
        "max_workers": 8,
        "upscaling_speed": 10,
        "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "external",
            "module": "tests.ray_jobs.slow_nodes.SlowNodes",
            "gcs_address": gcs_address,
            "delay_seconds": delay_seconds,
            "launch_multiple": True,
            # all of them have one address
            "use_node_id_as_ip": True,
            "worker_liveness_check": False,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "head_node_type": "ray.head.default",
        "available_node_types": head
        | {name: {"node_config": {}, **node_type} for name, node_type in node_types.items()},
        **{f"{who}_{what}": [] for who in ("head", "worker") for what in ("setup_commands", "start_ray_commands")},
        **{name: [] for name in ("setup_commands", "initialization_commands")},
    }


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, below those that the system gives to connections and above Ray's workers'."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 200):
        with socket.socket() as item, suppress(OSError):
            item.bind(("0.0.0.0", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def _wait_until_up(head: RayHead, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        # the dashboard answers before the start is over, which may yet fail
        if STARTED in (head.folder / "head.log").read_text():
            with suppress(requests.RequestException):
                head.get("/api/jobs/")
                return
        time.sleep(0.5)
    raise RuntimeError(f"no Ray head after {START_SECONDS} s:\n{(head.folder / 'head.log').read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    for item in alive:
        item.kill()
