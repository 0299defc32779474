"""One run at a time on an output: a lease in the output itself.

Each holder creates the next numbered file `epochs/NUMBER.lease` exclusively, so of several that try exactly one wins,
and rewrites `epochs/NUMBER.beat` every few seconds. A lease is free when its holder gave it back, when its holder
was a process of this machine that is gone, or when its heartbeat stood still for as long as our patience while we
watched: no two clocks are compared, and a clock that is set moves nothing. All this is manners. What keeps an output
whole where a holder was taken for dead and wakes up is in epochs.py, and depends on no heartbeat.

A lease's file is never removed from an output: its number is never given out again.
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
from ray_jobs.output import file_names
from ray_jobs.output.file_names import Tag, new_token
from ray_jobs.storage.store import Store

FOLDER = file_names.EPOCHS
CLOCK_SECONDS = 10.0
"""By how much two readings of when a process began may differ, where only the machine's clock tells it."""


@dataclass(frozen=True)
class Series:
    """Where numbered leases lie."""

    folder: str
    ending: str

    def path(self, number: int) -> str:
        """The file of a lease."""
        return f"{self.folder}/{number:06d}{self.ending}"

    def beat_path(self, number: int) -> str:
        """The file that its holder rewrites."""
        return f"{self.folder}/{number:06d}.beat"

    def latest(self, store: Store) -> int:
        """The greatest number there is; 0 for none."""
        form = re.compile(rf"(\d+){re.escape(self.ending)}")
        names = (form.fullmatch(path.rsplit("/", 1)[-1]) for path, _ in store.list(self.folder))
        return max((int(found[1]) for found in names if found), default=0)


EPOCHS = Series(FOLDER, ".lease")
FIRST_VERSION = Series("lease", ".json")
"""Leases as the first version of this program gave them."""


@dataclass(frozen=True)
class Timing:
    """How often a holder shows that it lives, and how long others wait for a sign; in seconds."""

    heartbeat: float = 3.0
    patience: float = 20.0


@dataclass(frozen=True)
class Lease:
    """The right to write to an output, as far as workers need it: they may only look at it."""

    store: Store
    number: int
    token: str

    @property
    def tag(self) -> Tag:
        """What the names of everything have that is made under this lease."""
        return Tag(self.number, self.token)

    def is_lost(self) -> bool:
        """Whether another run has taken the output over, which the next lease says, or somebody has emptied it."""
        return self.store.exists(EPOCHS.path(self.number + 1)) or not self.store.exists(EPOCHS.path(self.number))

    def check(self) -> None:
        """Raise LeaseLost where another run has taken the output over."""
        if self.is_lost():
            raise self.lost()

    def lost(self) -> LeaseLost:
        """What ends a run that has lost its lease."""
        return LeaseLost(f"{self.store.url}: another run has taken this output over; this one stops")


class LeaseHolder:
    """Holds a lease and keeps it alive from a thread of its own, until `release`."""

    def __init__(self, lease: Lease, heartbeat_seconds: float) -> None:
        self.lease = lease
        self._heartbeat_seconds = heartbeat_seconds
        self._stop = threading.Event()
        self._lost = False
        self._heartbeat()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LeaseLost where the lease was lost when the last heartbeat was sent; asks nobody."""
        if self._lost:
            raise self.lease.lost()

    def release(self) -> None:
        """Give the lease back, so that the next run need not wait. A store that is away is not waited for."""
        self._stop.set()
        # a heartbeat may hang in a store that does not answer
        self._thread.join(self._heartbeat_seconds)
        # a store that is away hides no error of the run's own: who comes next sees that this process is gone
        with suppress(StorageError):
            self.lease.store.write_bytes(EPOCHS.beat_path(self.lease.number), b"released")

    def _keep(self) -> None:
        while not self._stop.wait(self._heartbeat_seconds):
            # a store that is away for a moment: the next beat may reach it
            with suppress(StorageError):
                self._heartbeat()
                self._lost = self.lease.is_lost()

    def _heartbeat(self) -> None:
        self.lease.store.write_bytes(EPOCHS.beat_path(self.lease.number), uuid.uuid4().hex.encode())


@dataclass(frozen=True)
class Holder:
    """Who holds an output, and when its process began, by its machine's clock.

    `alive` is None where only time can tell; `token` is empty in the first version's leases.
    """

    number: int
    host: str
    pid: int
    alive: bool | None
    token: str
    began: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def acquire(store: Store, timing: Timing = Timing()) -> LeaseHolder:
    """Take the lease of an output, waiting as long as `timing` says for a sign of a holder that may be dead.

    Raises LeaseHeld where a run is at work on it.
    """
    return LeaseHolder(take(store, wait_for_holder(store, timing)), timing.heartbeat)


def take(store: Store, latest: int | None = None) -> Lease:
    """Create the lease after number `latest`, or after the last one, whoever holds it.

    Raises LeaseHeld where another is faster.
    """
    number = 1 + (_latest(store)[1] if latest is None else latest)
    token = new_token()
    if not store.create_exclusive(EPOCHS.path(number), json.dumps({**myself(), "token": token}).encode()):
        raise LeaseHeld(f"{store.url}: another run has just started on this output")
    return Lease(store, number, token)


def wait_for_holder(store: Store, timing: Timing = Timing()) -> int:
    """The number of the last lease, whose holder is gone, as far as no sign of life in `timing.patience` tells.

    Raises LeaseHeld where a run is at work on the output.
    """
    series, number = _latest(store)
    # removed since it was listed: the folder of a selection that has just been finished
    with suppress(MissingFile):
        holder = read_holder(store, number, series) if number else None
        if holder and _is_held(store, holder, series, timing):
            raise LeaseHeld(f"{store.url}: {holder} is working on this output; stop it first, or wait until it ends")
    return number


def _latest(store: Store) -> tuple[Series, int]:
    """The last lease: of the first version's only where there is none of ours.

    Its numbers are counted on once: a gap would hide a successor from who asks for it by name.
    """
    if number := EPOCHS.latest(store):
        return EPOCHS, number
    return FIRST_VERSION, FIRST_VERSION.latest(store)


def current(store: Store, series: Series = EPOCHS) -> Holder | None:
    """Who holds or last held the output; None for nobody. Never waits. Raises DamagedOutput."""
    while number := series.latest(store):
        # removed since it was listed: the folder of a selection that has just been finished
        with suppress(MissingFile):
            return read_holder(store, number, series)
    return None


def read_holder(store: Store, number: int, series: Series = EPOCHS) -> Holder:
    """The holder of one lease. Raises MissingFile and DamagedOutput."""
    path = series.path(number)
    try:
        raw: dict[str, Any] = json.loads(store.read_bytes(path))
        holder = Holder(number, raw["host"], raw["pid"], _alive(raw), str(raw.get("token", "")), raw["started"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected a lease, got something else ({error})") from error
    return replace(holder, alive=False) if _read_heartbeat(store, number, series) == b"released" else holder


def _is_held(store: Store, holder: Holder, series: Series, timing: Timing) -> bool:
    if holder.alive is not None:
        return holder.alive
    heartbeat, deadline = _read_heartbeat(store, holder.number, series), time.monotonic() + timing.patience
    while time.monotonic() < deadline:
        time.sleep(timing.heartbeat / 2)
        if _read_heartbeat(store, holder.number, series) != heartbeat:
            return True
    return False


def _read_heartbeat(store: Store, number: int, series: Series) -> bytes | None:
    with suppress(MissingFile):
        return store.read_bytes(series.beat_path(number))
    return None


def myself() -> dict[str, Any]:
    """What a lease says of its holder."""
    process = psutil.Process()
    known = {"host": _host(), "pid": process.pid, "started": process.create_time(), "boot": _boot()}
    return known | {"ticks": _ticks(process.pid)}


def _alive(raw: dict[str, Any]) -> bool | None:
    """Whether a holder's process lives, where it is one of this machine; None where that cannot be seen."""
    if raw["host"] != _host() or raw["boot"] != _boot():
        return None
    try:
        process = psutil.Process(raw["pid"])
        # a killed process stays listed until its parent, which in a container may never do so, asks how it ended
        status = process.status()
        if status == psutil.STATUS_ZOMBIE or not _is_same(process, raw):
            return False
        # a suspended process shows no sign of life, and none of death
        return None if status == psutil.STATUS_STOPPED else True
    except psutil.NoSuchProcess:
        return False


def _is_same(process: psutil.Process, raw: dict[str, Any]) -> bool:
    """Whether a process is the one that wrote down when it began: by what no clock moves, where that is known."""
    ticks = _ticks(process.pid)
    if ticks is not None and raw.get("ticks") is not None:
        return bool(ticks == raw["ticks"])
    return bool(abs(process.create_time() - raw["started"]) < CLOCK_SECONDS)


def _ticks(pid: int) -> int | None:
    """When a process began, in the kernel's ticks since the machine started; None where the kernel does not tell."""
    with suppress(OSError):
        # field 22, "starttime" in proc_pid_stat(5); the name in field 2 may hold blanks and brackets
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
    return None


def _host() -> str:
    """The machine's name, with the process namespace in which process numbers mean something."""
    namespace = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{namespace.stat().st_ino if namespace.exists() else 0}"


def _boot() -> str:
    """What changes when the machine starts again, and process numbers with it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return boot.read_text().strip() if boot.exists() else str(psutil.boot_time())
