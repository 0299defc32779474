"""GPU machines come when a run wants them and go when it does not: Ray's autoscaler, with machines that are fake."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ray_jobs.ray_head import RayHead, ray_head

ROOT = Path(__file__).parents[2]
SEEDS = 160
MOST = 3
GPU_NODE = {"resources": {"CPU": 2, "GPU": 1, "object_store_memory": 80_000_000}, "min_workers": 0, "max_workers": MOST}


@pytest.fixture(scope="module")
def growing() -> Iterator[RayHead]:
    """A head without GPUs that adds machines with one GPU each, four seconds after they are wanted."""
    with ray_head(cpus=6, node_types={"gpu": GPU_NODE}, delay_seconds=4) as started:
        yield started


class Count(threading.Thread):
    """Keeps counting the head's living nodes with a GPU."""

    def __init__(self, head: RayHead) -> None:
        super().__init__(daemon=True)
        self._head = head
        self.seen: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            self.seen.append(self.now())

    def now(self) -> int:
        nodes = self._head.get("/api/v0/nodes?detail=1")["data"]["result"]["result"]
        return sum(one["state"] == "ALIVE" and one["resources_total"].get("GPU", 0) > 0 for one in nodes)


def config(folder: Path, head: RayHead) -> dict[str, Any]:
    lines = (json.dumps({"instruction": f"Describe step {number} of a procedure."}) for number in range(SEEDS))
    (folder / "seeds.jsonl").write_text("\n".join(lines))
    engine = {"kind": "scripted", "load_seconds": 6, "slots": 8, "decode_rate": 40, "call_log": str(folder / "calls")}
    pool = {"cpus": 1, "batch_rows": 8, "batches_in_flight": 1}
    return {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "seeds.jsonl")},
        "evolvers": {"a": {"engine": engine, "pool": {**pool, "gpus": 1, "min_size": 1, "max_size": MOST}}},
        "responder": {"kind": "evolver"},
        "scorer": {"kind": "scripted", "pool": pool},
        # shorter than a machine and its model take together: neither alone is a stall
        "limits": {"stall_seconds": 30},
        "ray": {"address": head.gcs_address},
    }


def test_gpu_machines_come_and_go_with_a_run(growing: RayHead, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config(tmp_path, growing)))
    count = Count(growing)
    assert count.now() == 0
    count.start()
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(tmp_path / "run.yaml")]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=growing.environment(), capture_output=True, text=True, timeout=240)
    ran = time.monotonic() - started
    until = time.monotonic() + 60
    while count.now() and time.monotonic() < until:
        time.sleep(0.5)
    shrunk = time.monotonic() - started
    count.over.set()
    count.join()
    print(f"run {ran:.1f} s, all gone after {shrunk:.1f} s, nodes {[n for n, _ in itertools.groupby(count.seen)]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(count.seen) == MOST
    assert count.seen[-1] == 0
    assert f"{SEEDS} records planned: {SEEDS} kept" in done.stdout
    calls = (tmp_path / "calls").read_text().split()
    assert len(calls) == len(set(calls)) == 2 * SEEDS
