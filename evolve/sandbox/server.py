"""The sandbox's server process: shed everything, load what functions may import, then answer checks.

Started by `evolve.sandbox.host` with one socket; ends when that socket closes or the host's process ends.
"""

from __future__ import annotations

import dataclasses
import encodings
import gc
import importlib
import os
import pkgutil
import resource
import select
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.sandbox import channel, jail, kernel, probe, seccomp
from evolve.sandbox.records import PROTECTED_BY, CheckResult, Limits, Mechanism, Protection, Verdict
from evolve.sandbox.supervisor import HostGone, Supervisor

_CHANNEL = 3
"""Where the socket to the host is moved, so that all above it can be closed."""

_CODECS_ON_WINDOWS_ONLY = {"mbcs", "oem"}


def main(descriptor: int) -> None:
    """Serve the host at the other end of `descriptor` until it goes."""
    os.dup2(descriptor, _CHANNEL)
    kernel.close_from(_CHANNEL + 1)
    sock = socket.socket(fileno=_CHANNEL)
    secret = channel.room_for_secret()
    setup = channel.receive(sock, secret)
    try:
        host = os.pidfd_open(setup["host_pid"])
        supervisor, answer = _prepare(setup, (_CHANNEL, host))
        page = channel.page_for_secret()
    except (OSError, ImportError) as error:
        channel.send(sock, {"error": f"{type(error).__name__}: {error}"}, secret)
        return
    channel.send(sock, answer, secret)
    try:
        _serve(sock, host, supervisor, page)
    except (EOFError, HostGone, ConnectionError):
        # The host has closed the sandbox or has died; either way nothing is left to do.
        return


def _prepare(setup: dict[str, Any], host: tuple[int, int]) -> tuple[Supervisor, dict[str, Any]]:
    limits = Limits(**setup["limits"])
    imports = frozenset(setup["imports"])
    _preload(imports)
    os.environ.clear()
    _limit_server()
    active = jail.shed_privileges()
    active.add("rlimits")
    if "namespaces" not in setup["disable"]:
        active |= jail.enter_namespaces()
    if "pid_namespace" in active:
        jail.become_init()
    # Without capabilities to lose, a worker could otherwise look into its server's memory (ptrace(2)).
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    way, leaking = _way_to_start_workers(limits, "seccomp" not in setup["disable"], "pid_namespace" in active)
    if way.mechanism is not None:
        active.add(way.mechanism)
    guards = {
        protection: [name for name in mechanisms if name in active]
        for protection, mechanisms in PROTECTED_BY.items()
        if protection not in leaking and active.intersection(mechanisms)
    }
    gc.freeze()
    supervisor = Supervisor(limits, imports, way.filter_program, "pid_namespace" in active, host, way.fork)
    return supervisor, {"guards": guards}


@dataclass(frozen=True)
class _Way:
    """How workers are started, and what that adds to their guards."""

    mechanism: Mechanism | None
    filter_program: bytes | None
    fork: Callable[[], int]


def _way_to_start_workers(
    limits: Limits, filtered: bool, owns_pid_namespace: bool
) -> tuple[_Way, frozenset[Protection]]:
    """The best way that works here, with the protections that a worker can break all the same."""
    ways = []
    if filtered and seccomp.supported():
        ways.append(_Way("seccomp", seccomp.program(), os.fork))
    # A filter lets a worker name no process; without one, there must be none that it could name.
    ways.append(_Way("worker_namespaces", None, jail.fork_apart) if owns_pid_namespace else _Way(None, None, os.fork))
    for way in ways:
        leaking = probe.leaks(limits, way.filter_program, way.fork)
        if leaking is not None:
            return way, leaking
    raise OSError("a worker cannot set its resource limits, drop its capabilities or leave its server's namespace")


def _preload(imports: Iterable[str]) -> None:
    """Load modules, codecs and the time zone now: there will be no file to load them from."""
    for name in sorted(imports):
        importlib.import_module(name)
    for package in ("_strptime", "stringprep"):
        importlib.import_module(package)
    for codec in pkgutil.iter_modules(encodings.__path__):
        if codec.name not in _CODECS_ON_WINDOWS_ONLY:
            importlib.import_module(f"encodings.{codec.name}")
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise ImportError("one of the modules in `imports` starts threads, and the server must have none")
    time.localtime()
    warnings.simplefilter("ignore")


def _limit_server() -> None:
    """Few descriptors, which is all that a worker may have to close; no handler, so that its signals do nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _serve(sock: socket.socket, host: int, supervisor: Supervisor, secret: memoryview) -> None:
    while True:
        # The socket alone is not enough: a process that the host forked may hold its other end open.
        ready, _, _ = select.select([sock.fileno(), host], [], [])
        if host in ready:
            raise HostGone
        request = channel.receive(sock, secret)
        results = supervisor.check(request["source"], request["inputs"])
        channel.send(sock, [_plain(result) for result in results], secret)


def _plain(result: CheckResult) -> Any:
    return result.holds if isinstance(result, Verdict) else dataclasses.astuple(result)
