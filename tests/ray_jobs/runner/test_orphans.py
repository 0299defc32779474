"""On a standing cluster nothing of a killed driver lives on: no worker, and nothing that a worker's engine keeps."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from ray_jobs.runner.keeper import living
from tests.ray_jobs.ray_head import RayHead

ROOT = Path(__file__).parents[3]
# an engine's process of its own, which does not look whether its actor lives
DRIVER = """
import subprocess, sys, os, ray
ray.init(address=sys.argv[1], log_to_driver=False)

@ray.remote(num_cpus=0)
class Actor:
    def load(self):
        return os.getpid(), subprocess.Popen(["sleep", "600"]).pid

actor = Actor.remote()
print(*ray.get(actor.load.remote()), flush=True)
sys.stdin.readline()
"""


def test_a_killed_drivers_actors_end_within_a_minute_and_what_they_started_too(head: RayHead) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, head.gcs_address],
        env=head.environment(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout
    left = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
    assert len(left) == 2
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 60
    while living(left) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert living(left) == []
