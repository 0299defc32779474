"""Ends the processes of a local Ray cluster that are left when its driver is gone, however that ended.

Ray's own processes end with the driver. Those of its node's session, agents, workers and what their engines keep, such
as vLLM's engine core, are to notice by themselves that their raylet is gone, which takes some of them minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

GRACE_SECONDS = 5.0
"""How long processes may take to end by themselves once the one that they belong to is gone."""
KILL_SECONDS = 15.0
"""How long a process that was sent SIGKILL may take to be gone before it is named."""
LOOK_SECONDS = 0.25
DONE = b"done"


class Keeper:
    """Knows the session of a local cluster's node, and has it ended should this process end without doing so."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._session: int | None = None

    def keep(self, session: int) -> None:
        """This is the session: that of a raylet, which lives as long as it is of interest."""
        self._session = session
        self._pipe.write(b"%d\n" % session)

    def processes(self) -> list[psutil.Process]:
        """Those of the session that live now. To be asked for before the raylet ends, which its number belongs to."""
        return session_processes(self._session) if self._session else []


@contextmanager
def keeper() -> Iterator[Keeper]:
    """Have a process beside this one while the context lasts, of a session of its own: no signal for a group gets it.

    It runs this file, and waits until its standard input ends, which happens when this process is gone.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # it inherits what is blocked: those who end a job by its processes send this one SIGTERM too
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        beside = subprocess.Popen(
            [sys.executable, "-S", "-c", _PROGRAM, str(Path(psutil.__file__).parents[1]), __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert beside.stdin is not None
    try:
        yield Keeper(beside.stdin)
    finally:
        with suppress(OSError):
            beside.stdin.write(DONE)
        beside.stdin.close()
        beside.wait()


def session_processes(session: int) -> list[psutil.Process]:
    """All living processes of a session, and those that come from them."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session:
                found |= {item.pid: item for item in (process, *process.children(recursive=True))}
    return living(found.values())


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended: one that waits for its parent to ask how it ended has."""
    return [process for process in processes if _lives(process)]


def end(processes: list[psutil.Process], grace: float = GRACE_SECONDS, insist: float = KILL_SECONDS) -> list[str]:
    """Wait `grace` seconds for processes to end, then kill them; one sentence for each that stays for `insist` more."""
    deadline = time.monotonic() + grace
    while (left := living(processes)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    deadline = time.monotonic() + insist
    while left and time.monotonic() < deadline:
        kill(left)
        time.sleep(LOOK_SECONDS)
        left = living(left)
    tried = f"it was given {grace:g} s, then sent SIGKILL again and again for {insist:g} s"
    return [f"process {item.pid} ({_title(item)}) cannot be ended: {tried}" for item in left]


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL each that still is what it was."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    return False


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.name()}, {process.status()}"
    return "gone"


def watch(pipe: IO[bytes]) -> None:
    """Wait until the other end of `pipe` is closed. Unless DONE came, end the session; name what cannot be ended."""
    session, _, last = pipe.read().partition(b"\n")
    if last == DONE or not session.isdigit():
        return
    for line in end(session_processes(int(session))):
        print(f"error: {line}", file=sys.stderr, flush=True)


# without the site's start-up code, which may import much
_PROGRAM = """
import runpy, sys
_, packages, program = sys.argv
sys.path.append(packages)
runpy.run_path(program)["watch"](sys.stdin.buffer)
"""
