"""A command in two processes: one that works, and the one that was started, which waits for it and says how it ended.

Ray's C++ parts end a process from within, by `_exit(1)` or an abort, when they have lost their cluster: as fast as a
tenth of a second after it, past everything that Python could catch. Then somebody else has to say so.

The two live and die together: a signal for one reaches the other, SIGKILL and SIGSTOP included.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ray_jobs.errors import ClusterError, Stopped
from ray_jobs.runner import signals

PR_SET_PDEATHSIG = 1
SUSPENDED_SECONDS = 0.25
"""How often the working process looks whether the other one is suspended."""


def split() -> None:
    """Go on in a child process, which takes its signals; the caller's own process never returns from here.

    To be called once, in the main thread, before there are others.
    """
    told, telling = os.pipe()
    forwarded, forwarding = os.pipe()
    for end in (told, telling, forwarding):
        os.set_blocking(end, False)
    # what comes before both processes listen waits; the child never unblocks them
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.SIGNALS)
    parent = os.getpid()
    child = os.fork()
    if child:
        _wait(child, told, forwarding)
    os.close(told)
    os.close(forwarding)
    _die_with(parent)

    def leaving() -> None:
        with suppress(OSError):
            os.write(telling, b".")

    signals.own_process(forwarded, leaving)


def _wait(child: int, told: int, forwarding: int) -> NoReturn:
    asked: list[int] = []

    def forward(number: int, _: object) -> None:
        asked.append(number)
        with suppress(OSError):
            os.write(forwarding, bytes([number]))

    def go_on(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)

    for item in signals.SIGNALS:
        signal.signal(item, forward)
    signal.signal(signal.SIGCONT, go_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.SIGNALS)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        said = bool(os.read(told, 1))
    except BlockingIOError:
        said = False
    message, code = verdict(code, said, bool(asked))
    if message:
        print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(code)


def verdict(code: int, said: bool, asked: bool) -> tuple[str, int]:
    """What to print, "" for nothing, and the exit code.

    `code` is that of the working process, negative for a signal; `said`: whether it had chosen to end; `asked`:
    whether it was asked to stop.
    """
    if said:
        return "", code if code >= 0 else 1
    if code == -signal.SIGKILL:
        return "killed (SIGKILL), as the system does where memory runs out; the same command goes on", 128 - code
    how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    if asked:
        return f"stopped, and then ended from within ({how}); the same command goes on", Stopped.exit_code
    return (
        f"the process was ended from within ({how}), as Ray does where it has lost its cluster or this node's raylet; "
        "what was finished is committed, and the same command goes on",
        ClusterError.exit_code,
    )


def _die_with(parent: int) -> None:
    """End with the parent, however it ends, and be suspended while it is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_keep_pace, args=(parent,), name="supervisor", daemon=True).start()


def _keep_pace(parent: int) -> None:
    while True:
        time.sleep(SUSPENDED_SECONDS)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        if _is_suspended(parent):
            os.kill(os.getpid(), signal.SIGSTOP)


def _is_suspended(pid: int) -> bool:
    with suppress(OSError):
        # "PID (NAME) STATE ...", where the name may hold anything
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
