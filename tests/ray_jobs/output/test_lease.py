"""One run at a time on an output: who may take a lease, and when."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ray_jobs.errors import DamagedOutput, LeaseHeld, LeaseLost
from ray_jobs.output.lease import Lease, LeaseHolder, Timing, acquire, current
from ray_jobs.storage.store import Store, open_store

FAST = Timing(heartbeat=0.05, patience=0.6)
HOLD = """
import sys, time
from ray_jobs.output.lease import acquire
from ray_jobs.storage.store import open_store
acquire(open_store(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def local(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "out"))


@pytest.fixture
def other_process(local: Store) -> Iterator[subprocess.Popen[str]]:
    """A process of this machine that holds the lease of `local`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, local.url], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def numbers(store: Store) -> set[int]:
    return {int(path.split("/")[1].split(".")[0]) for path, _ in store.list("epochs") if path.endswith(".lease")}


def foreign(store: Store, number: int = 1) -> None:
    """The lease of a process of another machine, which was there and beat once."""
    me = {"host": "elsewhere/1", "pid": 1, "started": 0.0, "boot": "x"}
    store.write_bytes(f"epochs/{number:06d}.lease", json.dumps(me).encode())
    store.write_bytes(f"epochs/{number:06d}.beat", b"beat 0")


def test_a_live_holder_is_not_disturbed(store: Store) -> None:
    holder = acquire(store, FAST)
    with pytest.raises(
        LeaseHeld, match=rf"{store.url}: process {os.getpid()} on .* is working on this output; stop it"
    ):
        acquire(store, FAST)
    holder.lease.check()
    holder.release()


def test_a_lease_that_was_given_back_is_free_at_once(store: Store) -> None:
    for number in (1, 2, 3):
        holder = acquire(store)
        assert holder.lease.number == number
        holder.release()
    assert numbers(store) == {1, 2, 3}
    holder_now = current(store)
    assert holder_now is not None
    assert holder_now.alive is False


def test_nobody_holds_a_fresh_output(store: Store) -> None:
    assert current(store) is None


def test_another_process_holds_until_it_is_killed(local: Store, other_process: subprocess.Popen[str]) -> None:
    holder = current(local)
    assert holder is not None
    assert (holder.pid, holder.alive) == (other_process.pid, True)
    with pytest.raises(LeaseHeld):
        acquire(local, FAST)
    other_process.kill()
    # not waited for: a process that ended and that its parent has not collected is dead all the same
    wait_until(lambda: psutil.Process(other_process.pid).status() == psutil.STATUS_ZOMBIE)
    started = time.monotonic()
    taken = acquire(local)
    assert time.monotonic() - started < 5
    taken.release()


def test_a_suspended_process_is_judged_by_its_beat(local: Store, other_process: subprocess.Popen[str]) -> None:
    other_process.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(other_process.pid).status() == psutil.STATUS_STOPPED)
    holder = current(local)
    assert holder is not None
    assert holder.alive is None
    taken = acquire(local, FAST)
    assert taken.lease.number == holder.number + 1
    taken.release()


def test_a_holder_hears_that_it_was_taken_for_dead(local: Store) -> None:
    holder = acquire(local, FAST)
    holder.check()
    foreign(local, holder.lease.number + 1)

    def lost() -> bool:
        try:
            holder.check()
        except LeaseLost:
            return True
        return False

    wait_until(lost)
    holder.release()


def test_a_number_that_a_new_process_has_is_not_its_old_owner(local: Store) -> None:
    holder = acquire(local)
    holder.release()
    path = f"epochs/{holder.lease.number:06d}"
    raw = json.loads(local.read_bytes(f"{path}.lease"))
    local.write_bytes(f"{path}.beat", b"beat")
    set_clock = {"started": raw["started"] - 3600}
    for other, alive in ((set_clock, True), ({"ticks": raw["ticks"] + 1}, False), ({"ticks": None} | set_clock, False)):
        local.write_bytes(f"{path}.lease", json.dumps(raw | other).encode())
        now = current(local)
        assert now is not None
        assert now.alive is alive


def test_a_foreign_holder_is_dead_when_its_beat_stands_still(store: Store) -> None:
    foreign(store)
    holder = current(store)
    assert holder is not None
    assert (str(holder), holder.alive) == ("process 1 on elsewhere/1", None)
    started = time.monotonic()
    taken = acquire(store, FAST)
    assert time.monotonic() - started >= FAST.patience
    assert taken.lease.number == 2
    taken.release()


def test_a_foreign_holder_that_beats_is_alive(local: Store) -> None:
    foreign(local)
    heartbeats = threading.Timer(0.2, local.write_bytes, ("epochs/000001.beat", b"beat 1"))
    heartbeats.start()
    with pytest.raises(LeaseHeld, match="process 1 on elsewhere/1 is working on this output"):
        acquire(local, FAST)
    heartbeats.join()


def test_a_foreign_holder_that_gave_back_is_not_waited_for(local: Store) -> None:
    foreign(local)
    local.write_bytes("epochs/000001.beat", b"released")
    acquire(local, Timing(patience=600)).release()


def test_a_holder_beats(local: Store) -> None:
    holder = acquire(local, FAST)
    seen = set[bytes]()

    def heartbeats() -> bool:
        seen.add(local.read_bytes("epochs/000001.beat"))
        return len(seen) > 3

    wait_until(heartbeats)
    holder.release()
    assert local.read_bytes("epochs/000001.beat") == b"released"


def test_one_taken_for_dead_finds_out(store: Store) -> None:
    first = acquire(store, FAST)
    lease = first.lease
    first.release()
    lease.check()
    second = acquire(store, FAST)
    with pytest.raises(LeaseLost, match="another run has taken this output over; this one stops"):
        lease.check()
    second.release()
    third = acquire(store, FAST)
    for lost in (lease, second.lease):
        with pytest.raises(LeaseLost):
            lost.check()
    third.lease.check()
    third.release()


def test_a_lease_of_an_emptied_output_is_lost(local: Store) -> None:
    with pytest.raises(LeaseLost):
        Lease(local, 1, "0" * 12).check()


@pytest.mark.parametrize("before", ["nothing", "released"])
def test_of_many_that_race_exactly_one_wins(store: Store, before: str) -> None:
    if before == "released":
        acquire(store).release()
    barrier, won, lost = threading.Barrier(6), list[LeaseHolder](), list[LeaseHeld]()

    def race() -> None:
        barrier.wait()
        try:
            won.append(acquire(store))
        except LeaseHeld as held:
            lost.append(held)

    racers = [threading.Thread(target=race) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert (len(won), len(lost)) == (1, 5)
    won[0].lease.check()
    won[0].release()


@pytest.mark.parametrize("left", [".000002.beat.0a1b.tmp", ".000002.lease.0a1b.tmp", "notes.txt"])
def test_what_a_killed_holder_left_half_written_does_no_harm(local: Store, left: str) -> None:
    acquire(local).release()
    local.write_bytes(f"epochs/{left}", b"")
    holder = acquire(local)
    assert holder.lease.number == 2
    holder.release()


def test_numbers_of_the_first_version_are_counted_on(local: Store) -> None:
    local.write_bytes("lease/000004.json", json.dumps({"host": "x/1", "pid": 1, "started": 0.0, "boot": "x"}).encode())
    local.write_bytes("lease/000004.beat", b"released")
    for number in (5, 6):
        holder = acquire(local)
        assert holder.lease.number == number
        holder.release()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"host": 1}', b"\xff"])
def test_what_is_no_lease_is_told(local: Store, content: bytes) -> None:
    local.write_bytes("epochs/000001.lease", content)
    with pytest.raises(DamagedOutput, match=r"epochs/000001\.lease: expected a lease, got something else"):
        acquire(local)


def wait_until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            if holds():
                return
        time.sleep(0.02)
    raise AssertionError("not within the time allowed")
