"""One run at a time on an output: a lease in the output itself.

Each holder creates the next numbered file `lease/NUMBER.json` exclusively, so of several that try exactly one wins,
and rewrites `lease/NUMBER.beat` every few seconds. A lease is free when its holder gave it back, when its holder was
a process of this machine that is gone, or when its beat stood still for as long as our patience while we watched: no
two clocks are compared. A holder that was taken for dead finds that its number is not the last any more, and stops;
what it writes in the moment before it finds out does no harm, for its entries are the older ones (see parts.py).
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from ray_jobs.errors import DamagedOutput, LeaseHeld, LeaseLost, MissingFile, StorageError
from ray_jobs.storage import Store

FOLDER = "lease"
_NUMBER = re.compile(r"\.?(\d+)\.")
CLOCK_SECONDS = 10.0
"""By how much two readings of when a process began may differ: the machine's clock may have been set in between."""


@dataclass(frozen=True)
class Timing:
    """How often a holder shows that it lives, and how long others wait for a sign; in seconds."""

    beat: float = 3.0
    patience: float = 20.0


@dataclass(frozen=True)
class Lease:
    """The right to write to an output, as far as workers need it: they may only check it."""

    store: Store
    number: int

    def is_lost(self) -> bool:
        """Whether another run has taken the output over."""
        return _latest(self.store) != self.number

    def check(self) -> None:
        """Raise LeaseLost where another run has taken the output over."""
        if self.is_lost():
            raise self.lost()

    def lost(self) -> LeaseLost:
        """What ends a run that has lost its lease."""
        return LeaseLost(f"{self.store.url}: another run has taken this output over; this one stops")


class LeaseHolder:
    """Holds a lease and keeps it alive from a thread of its own, until `release`."""

    def __init__(self, lease: Lease, beat_seconds: float) -> None:
        self.lease = lease
        self._beat_seconds = beat_seconds
        self._stop = threading.Event()
        self._lost = False
        self._beat()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseLost where the lease was lost when the last beat was sent; asks nobody."""
        if self._lost:
            raise self.lease.lost()

    def release(self) -> None:
        """Give the lease back, so that the next run need not wait. A store that is away is not waited for."""
        self._stop.set()
        # a beat may hang in a store that does not answer
        self._thread.join(self._beat_seconds)
        # a store that is away hides no error of the run's own: who comes next sees that this process is gone
        with suppress(StorageError):
            self.lease.store.write_bytes(_beat_path(self.lease.number), b"released")

    def _keep(self) -> None:
        while not self._stop.wait(self._beat_seconds):
            # a store that is away for a moment: the next beat may reach it, and workers check the lease themselves
            with suppress(StorageError):
                self._beat()
                self._lost = self.lease.is_lost()

    def _beat(self) -> None:
        self.lease.store.write_bytes(_beat_path(self.lease.number), uuid.uuid4().hex.encode())


@dataclass(frozen=True)
class Holder:
    """Who holds an output. `alive` is None where only time can tell."""

    number: int
    host: str
    pid: int
    alive: bool | None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def acquire(store: Store, timing: Timing = Timing()) -> LeaseHolder:
    """Take the lease of an output, waiting as long as `timing` says for a sign of a holder that may be dead.

    Raises LeaseHeld where a run is at work on it.
    """
    holder = current(store)
    if holder and _is_held(store, holder, timing):
        raise LeaseHeld(f"{store.url}: {holder} is working on this output; stop it first, or wait until it ends")
    number = holder.number + 1 if holder else 1
    # the second look is for one who read the same holder as we did, was faster, and removed the file we now made anew
    if not store.create_exclusive(_path(number), json.dumps(_self()).encode()) or _latest(store) != number:
        raise LeaseHeld(f"{store.url}: another run has just started on this output")
    old = [path for path, _ in store.list(FOLDER) if 0 < _number(path) < number]
    taken = LeaseHolder(Lease(store, number), timing.beat)
    store.delete(old)
    return taken


def current(store: Store) -> Holder | None:
    """Who holds or last held the output; None for nobody. Never waits. Raises DamagedOutput."""
    while number := _latest(store):
        # removed since it was listed: there is a new holder
        with suppress(MissingFile):
            return _read_holder(store, number)
    return None


def _latest(store: Store) -> int:
    """The greatest number there is; 0 for none."""
    return max((_number(path) for path, _ in store.list(FOLDER) if path.endswith(".json")), default=0)


def _read_holder(store: Store, number: int) -> Holder:
    path = _path(number)
    try:
        raw: dict[str, Any] = json.loads(store.read_bytes(path))
        alive = _alive(raw["host"], raw["boot"], raw["pid"], raw["started"])
        holder = Holder(number, raw["host"], raw["pid"], alive)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected a lease, got something else ({error})") from error
    return replace(holder, alive=False) if _read_beat(store, number) == b"released" else holder


def _is_held(store: Store, holder: Holder, timing: Timing) -> bool:
    if holder.alive is not None:
        return holder.alive
    beat, deadline = _read_beat(store, holder.number), time.monotonic() + timing.patience
    while time.monotonic() < deadline:
        time.sleep(timing.beat / 2)
        if _read_beat(store, holder.number) != beat:
            return True
    return False


def _read_beat(store: Store, number: int) -> bytes | None:
    with suppress(MissingFile):
        return store.read_bytes(_beat_path(number))
    return None


def _self() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": _host(), "pid": process.pid, "started": process.create_time(), "boot": _boot()}


def _alive(host: str, boot: str, pid: int, started: float) -> bool | None:
    """Whether the holder's process lives, where it is one of this machine; None where that cannot be seen."""
    if host != _host() or boot != _boot():
        return None
    try:
        process = psutil.Process(pid)
        # a killed process stays listed until its parent, which in a container may never do so, asks how it ended
        status = process.status()
        if status == psutil.STATUS_ZOMBIE or abs(process.create_time() - started) >= CLOCK_SECONDS:
            return False
        # a suspended process shows no sign of life, and none of death
        return None if status == psutil.STATUS_STOPPED else True
    except psutil.NoSuchProcess:
        return False


def _host() -> str:
    """The machine's name, with the process namespace in which process numbers mean something."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.stat().st_ino if namespace.exists() else 0}"


def _boot() -> str:
    """What changes when the machine starts again, and process numbers with it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.exists() else str(psutil.boot_time())


def _number(path: str) -> int:
    """The number of a lease's file, also of one half written when its writer was killed; 0 where it is none."""
    found = _NUMBER.match(path.rsplit("/", 1)[-1])
    return int(found[1]) if found else 0


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.json"


def _beat_path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.beat"
