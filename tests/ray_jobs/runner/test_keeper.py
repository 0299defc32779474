"""Processes that a driver leaves behind are ended, also where it was killed; real processes, no Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from ray_jobs.runner.keeper import end, living, session_processes

# a leader, as a raylet is one, whose child forgets its parent, as an engine's process does
LEADER = "import subprocess, time; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); time.sleep(600)"
DRIVER = f"""
import subprocess, sys, time
from ray_jobs.runner.keeper import keeper
with keeper() as kept:
    leader = subprocess.Popen([sys.executable, "-c", {LEADER!r}], stdout=subprocess.PIPE, start_new_session=True)
    kept.keep(leader.pid)
    print(leader.pid, leader.stdout.readline().decode(), flush=True)
    sys.stdin.readline()
"""


def driver() -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    return process, [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while living(processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not living(processes)


def test_what_a_killed_driver_leaves_is_ended_though_its_job_was_sent_sigterm() -> None:
    process, left = driver()
    (beside,) = (child for child in psutil.Process(process.pid).children() if child.pid != left[0].pid)
    beside.send_signal(signal.SIGTERM)
    process.kill()
    process.communicate()
    # the leader dies first, and its child belongs to nobody
    left[0].kill()
    assert gone([*left, beside], 30)


def test_a_driver_that_ends_in_order_leaves_the_ending_to_itself() -> None:
    process, left = driver()
    process.communicate("\n", timeout=30)
    assert len(living(left)) == 2
    assert {process.pid for process in session_processes(left[0].pid)} == {item.pid for item in left}
    assert end(left, grace=0) == []
    assert gone(left, 1)


def test_a_process_that_cannot_be_ended_is_named_with_what_was_tried() -> None:
    (told,) = end([psutil.Process(os.getpid())], grace=0, insist=0)
    assert f"process {os.getpid()} (" in told
    assert "SIGKILL" in told
