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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evolve.sandbox import channel, jail, probe, seccomp
from evolve.sandbox.records import PROTECTED_BY, CheckResult, Limits, Verdict
from evolve.sandbox.supervisor import HostGone, Supervisor

_CODECS_ON_WINDOWS_ONLY = {"mbcs", "oem"}


def main(descriptor: int) -> None:
    """Serve the host at the other end of `descriptor` until it goes."""
    sock = socket.socket(fileno=descriptor)
    setup = channel.receive(sock)
    try:
        host = os.pidfd_open(setup["host_pid"])
        supervisor, reply = _prepare(setup, (sock.fileno(), host))
    except (OSError, ImportError) as error:
        channel.send(sock, {"error": f"{type(error).__name__}: {error}"})
        return
    channel.send(sock, reply)
    try:
        _serve(sock, host, supervisor)
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
    compiled = None
    if "seccomp" not in setup["disable"] and seccomp.supported():
        compiled = seccomp.program()
        active.add("seccomp")
    leaking = probe.leaks(limits, compiled)
    if leaking is None and compiled is not None:
        compiled = None
        active.remove("seccomp")
        leaking = probe.leaks(limits, compiled)
    if leaking is None:
        raise OSError("a worker cannot set its resource limits or drop its capabilities")
    guards = {
        protection: [name for name in mechanisms if name in active]
        for protection, mechanisms in PROTECTED_BY.items()
        if protection not in leaking and active.intersection(mechanisms)
    }
    gc.freeze()
    supervisor = Supervisor(limits, imports, compiled, "pid_namespace" in active, host)
    return supervisor, {"guards": guards}


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
    """Few descriptors, so that a worker closes them fast; no handler, so that a worker's signals do nothing."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _serve(sock: socket.socket, host: int, supervisor: Supervisor) -> None:
    while True:
        # The socket alone is not enough: a process that the host forked may hold its other end open.
        ready, _, _ = select.select([sock.fileno(), host], [], [])
        if host in ready:
            raise HostGone
        request = channel.receive(sock)
        results = supervisor.check(request["source"], request["inputs"])
        channel.send(sock, [_plain(result) for result in results])


def _plain(result: CheckResult) -> Any:
    return result.holds if isinstance(result, Verdict) else dataclasses.astuple(result)
