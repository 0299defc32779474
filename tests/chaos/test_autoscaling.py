"""GPU machines come when a run wants them and go when it does not: Ray's autoscaler, with machines that are fake."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from tests.ray_jobs.ray_head import RayHead, ray_head

# machines that start are much work for a small one; forecast/test_plan_command.py has a pool with a GPU
pytestmark = [pytest.mark.ray, pytest.mark.chaos_long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SEEDS = 800
SMALL, LARGE = 1, 3
"""Actors, and weights: a seed costs either evolver the same, so three actors take three times as many."""
GPU_NODE = {"resources": {"CPU": 2, "GPU": 1, "object_store_memory": 80_000_000}, "min_workers": 0, "max_workers": 4}


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
        return sum(node["state"] == "ALIVE" and node["resources_total"].get("GPU", 0) > 0 for node in nodes)


def config(folder: Path, head: RayHead) -> dict[str, Any]:
    lines = (json.dumps({"instruction": f"Describe step {number} of a procedure."}) for number in range(SEEDS))
    (folder / "seeds.jsonl").write_text("\n".join(lines))
    engine = {"kind": "scripted", "load_seconds": 6, "slots": 8, "decode_rate": 40, "call_log": str(folder / "calls")}
    pool = {"cpus": 1, "batch_rows": 4, "batches_in_flight": 2}
    small = {**pool, "gpus": 1, "size": SMALL}
    large = {**pool, "gpus": 1, "min_size": LARGE - 1, "max_size": LARGE}
    return {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "seeds.jsonl")},
        "sharing": "split",
        "evolvers": {
            "small": {"engine": {**engine, "model": "small"}, "pool": small, "weight": SMALL},
            "large": {"engine": {**engine, "model": "large"}, "pool": large, "weight": LARGE},
        },
        "responder": {"kind": "evolver"},
        "scorer": {"kind": "scripted", "pool": pool},
        "limits": {"stall_seconds": 120},
        "ray": {"address": head.gcs_address},
    }


def until(count: Count, wanted: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while count.now() != wanted:
        assert time.monotonic() < deadline, f"{wanted} GPU nodes expected, seen so far: {count.seen}"
        time.sleep(0.5)


def finished_at(output: Path) -> dict[str, list[float]]:
    """The times at which each evolver's rows were evolved, in order."""
    rows = ds.dataset(output / "data").to_table(["row_id", "evolver", "created_at"]).to_pylist()
    times = {(row["evolver"], row["row_id"]): row["created_at"].timestamp() for row in rows}
    return {name: sorted(time for (own, _), time in times.items() if own == name) for name in ("small", "large")}


def test_gpu_machines_come_and_go_with_a_run_and_pools_get_what_they_weigh(growing: RayHead, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config(tmp_path, growing)))
    count = Count(growing)
    assert count.now() == 0
    count.start()
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(tmp_path / "run.yaml")]
    done = subprocess.run(
        command, cwd=ROOT, env=growing.environment(), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    until(count, 0, 120)
    count.over.set()
    count.join()
    # a machine that idled and was replaced counts as alive a little longer than it lives
    assert max(count.seen) >= SMALL + LARGE

    assert f"{SEEDS} records planned: {SEEDS} kept" in done.stdout
    calls = (tmp_path / "calls").read_text().split()
    assert len(calls) == len(set(calls)) == 2 * SEEDS
    # when the small evolver is through half of its seeds, the large one is not behind
    times = finished_at(tmp_path / "out")
    half = times["small"][len(times["small"]) // 2]
    assert sum(time <= half for time in times["large"]) > 1.5 * sum(time <= half for time in times["small"])
