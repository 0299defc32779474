"""What signals ask for: which of them count, and how a command in two processes ends. No Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ray_jobs.errors import Stopped
from ray_jobs.runner.signals import ENDED_AT_ONCE, Counter, StopRequest
from ray_jobs.runner.supervisor import verdict

COMMAND = """
import os, signal, sys, time
from ray_jobs.runner import signals, supervisor
from ray_jobs.runner.signals import StopRequest
supervisor.split()
print(os.getpid(), flush=True)
time.sleep({before})
with StopRequest().listening() as request:
    print("listening", flush=True)
    {while_listening}
signals.leave(0)
"""


def started(while_listening: str = "time.sleep(60)", before: float = 0) -> tuple[subprocess.Popen[str], int]:
    """A command of two processes, of a group of its own, and the number of the one that works."""
    code = COMMAND.format(while_listening=while_listening, before=before)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    return process, int(process.stdout.readline())


def listening(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stdout.readline() == "listening\n"


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, error = process.communicate(timeout=60)
    return process.returncode, error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    before, request = signal.getsignal(number), StopRequest()
    with suppress(Stopped), request.listening():
        assert request.name is None
        os.kill(os.getpid(), number)
        assert request.name == number.name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    with pytest.raises(Stopped, match=number.name):
        request.check()
    assert signal.getsignal(number) is before


def test_a_signal_that_comes_in_two_ways_is_one_however_late() -> None:
    counter = Counter()
    assert counter.add("own", 0)
    assert not counter.add("forwarded", 5)
    assert counter.add("forwarded", 6)
    assert not counter.add("own", 9)


def test_what_a_wrapper_passes_on_is_no_second_signal() -> None:
    counter = Counter()
    assert [counter.add("own", now) for now in (0, 0.1, 0.9)] == [True, False, True]


@pytest.mark.parametrize(
    ("code", "said", "asked", "word", "leaves_with"),
    [
        (0, True, False, "", 0),
        (10, True, True, "", 10),
        (-signal.SIGABRT, True, False, "", 1),
        (1, False, False, "exit code 1", 7),
        (-signal.SIGABRT, False, False, "SIGABRT", 7),
        (-signal.SIGABRT, False, True, "SIGABRT", 10),
        (-signal.SIGKILL, False, False, "SIGKILL", 137),
    ],
)
def test_how_the_working_process_ended_is_told(code: int, said: bool, asked: bool, word: str, leaves_with: int) -> None:
    message, leaves = verdict(code, said, asked)
    assert leaves == leaves_with
    assert bool(message) == bool(word)
    assert word in message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_a_run_listens_a_signal_ends_the_command(number: signal.Signals) -> None:
    process, _ = started(before=60)
    os.killpg(process.pid, number)
    code, error = ended(process)
    assert (code, error.count("\n")) == (10, 1)
    assert number.name in error


def test_two_signals_within_a_second_end_a_run_at_once_whoever_gets_them() -> None:
    process, worker = started()
    listening(process)
    os.kill(worker, signal.SIGINT)
    time.sleep(0.5)
    os.kill(worker, signal.SIGINT)
    code, error = ended(process)
    assert (code, error.count("\n")) == (ENDED_AT_ONCE, 2)
    assert "at once" in error


def test_a_signal_for_the_group_asks_once_even_where_the_main_thread_is_busy_in_c() -> None:
    # no bytecode of the main thread runs until the request is noticed by another
    busy = "__import__('ctypes').CDLL(None).sleep(2)"
    process, _ = started(f"{busy}; assert request.name == 'SIGTERM'; signals.leave(10)")
    listening(process)
    os.killpg(process.pid, signal.SIGTERM)
    code, error = ended(process)
    assert (code, error.count("\n")) == (10, 1)
    assert error.startswith("SIGTERM: nothing is in flight")


def test_an_exit_from_within_is_told_and_has_a_code_of_the_table() -> None:
    process, _ = started("os._exit(1)")
    code, error = ended(process)
    assert (code, error.count("\n")) == (7, 1)
    assert "exit code 1" in error


def test_both_processes_are_killed_and_suspended_as_one() -> None:
    process, worker = started()
    listening(process)
    process.send_signal(signal.SIGSTOP)
    assert in_state(worker, "T")
    process.send_signal(signal.SIGCONT)
    assert in_state(worker, "S")
    process.kill()
    process.communicate()
    assert in_state(worker, "")


def in_state(pid: int, state: str) -> bool:
    """Whether a process comes into a state within ten seconds; "" for gone."""
    deadline = time.monotonic() + 10
    while (found := state_of(pid)) != state and time.monotonic() < deadline:
        time.sleep(0.05)
    return found == state


def state_of(pid: int) -> str:
    try:
        found = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
    return "" if found == "Z" else found


@pytest.mark.parametrize(("in_flight", "words"), [(12, "finishing 12 rows"), (0, "nothing is in flight")])
def test_a_request_to_stop_is_answered_at_once(in_flight: int, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    request = StopRequest()
    request.in_flight = in_flight
    request.take(signal.SIGINT)
    assert words in (said := capfd.readouterr().err)
    assert "again to stop now" in said
