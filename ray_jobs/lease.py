"""One run at a time on an output: a lease in the output itself.

Each holder creates the next numbered file `lease/NUMBER.json` exclusively, so of several that try exactly one wins,
and rewrites `lease/NUMBER.beat` every few seconds. A lease is free when its holder gave it back, when its holder was
a process of this machine that is gone, or when its beat stood still for as long as `PATIENCE` while we watched: no
two clocks are compared. A holder that was taken for dead finds the next number there and stops.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ray_jobs.errors import LeaseHeld, LeaseLost, StorageError
from ray_jobs.storage import Store

FOLDER = "lease"
BEAT_SECONDS = 3.0
PATIENCE = 20.0


@dataclass(frozen=True)
class Lease:
    """The right to write to an output, as far as workers need it: they may only check it."""

    store: Store
    number: int

    def check(self) -> None:
        """Raise LeaseLost where another run has taken the output over."""
        if self.store.exists(_path(self.number + 1)):
            raise LeaseLost(f"{self.store.url}: another run has taken this output over; this one stops")


class LeaseHolder:
    """Holds a lease and keeps it alive from a thread of its own, until `release`."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._stop = threading.Event()
        self._beat()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the lease back, so that the next run need not wait."""
        self._stop.set()
        self._thread.join()
        self.lease.store.write_bytes(_beat_path(self.lease.number), b"released")

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            # a store that is away for a moment: the next beat may reach it, and workers check the lease themselves
            with suppress(StorageError):
                self._beat()

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


def acquire(store: Store) -> LeaseHolder:
    """Take the lease of an output, waiting up to PATIENCE seconds for a holder that may be dead.

    Raises LeaseHeld where a run is at work on it.
    """
    holder = current(store)
    if holder and _is_held(store, holder):
        raise LeaseHeld(f"{store.url}: {holder} is working on this output; stop it first, or wait until it ends")
    number = holder.number + 1 if holder else 1
    if not store.create_exclusive(_path(number), json.dumps(_self()).encode()):
        raise LeaseHeld(f"{store.url}: another run has just started on this output")
    old = [path for path, _ in store.list(FOLDER) if _number(path) < number]
    taken = LeaseHolder(Lease(store, number))
    store.delete(old)
    return taken


def current(store: Store) -> Holder | None:
    """Who holds or last held the output without giving it back; None for nobody. Never waits."""
    numbers = [_number(path) for path, _ in store.list(FOLDER) if path.endswith(".json")]
    if not numbers:
        return None
    raw: dict[str, Any] = json.loads(store.read_bytes(_path(max(numbers))))
    alive = _alive(raw)
    if alive is not False and _read_beat(store, max(numbers)) == b"released":
        alive = False
    return Holder(max(numbers), raw["host"], raw["pid"], alive)


def _is_held(store: Store, holder: Holder) -> bool:
    if holder.alive is not None:
        return holder.alive
    beat, deadline = _read_beat(store, holder.number), time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(BEAT_SECONDS / 2)
        if _read_beat(store, holder.number) != beat:
            return True
    return False


def _read_beat(store: Store, number: int) -> bytes | None:
    path = _beat_path(number)
    return store.read_bytes(path) if store.exists(path) else None


def _self() -> dict[str, Any]:
    process = psutil.Process()
    return {"host": _host(), "pid": process.pid, "started": process.create_time(), "boot": _boot()}


def _alive(raw: dict[str, Any]) -> bool | None:
    """Whether the holder's process lives, where it is one of this machine; None where that cannot be seen."""
    if raw["host"] != _host() or raw["boot"] != _boot():
        return None
    try:
        return bool(psutil.Process(raw["pid"]).create_time() == raw["started"])
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
    return int(path.rsplit("/", 1)[-1].split(".")[0])


def _path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.json"


def _beat_path(number: int) -> str:
    return f"{FOLDER}/{number:06d}.beat"
