"""The host's side of the sandbox: start servers, hand them checks, replace those that die."""

from __future__ import annotations

import dataclasses
import os
import queue
import socket
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from evolve.errors import SandboxError
from evolve.sandbox import channel
from evolve.sandbox.records import (
    DEFAULT_IMPORTS,
    PROTECTIONS,
    CheckError,
    CheckResult,
    Guards,
    Limits,
    Protection,
    Verdict,
)

_ROOT = Path(__file__).resolve().parents[2]
_START = "import sys; sys.path.insert(0, sys.argv[1]); from evolve.sandbox.server import main; main(int(sys.argv[2]))"
# A fixed hash seed makes the order of sets, and so a function's verdict, the same in every server. Numerical
# libraries must start no threads: a process with threads can neither leave its user namespace nor fork safely.
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "TZ": "UTC", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_START_SECONDS = 60.0
_GRACE_SECONDS = 30.0
_LOST = (EOFError, ConnectionError, TimeoutError)


class _Server:
    """One server process and the socket to it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-B", "-c", _START, str(_ROOT), str(theirs.fileno())]
        quiet = subprocess.DEVNULL
        self._socket = ours
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command,
                    env=_ENVIRONMENT,
                    stdin=quiet,
                    stdout=quiet,
                    stderr=quiet,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise SandboxError(f"the sandbox's server cannot be started: {error}") from error
        self._socket.settimeout(_START_SECONDS)
        self.guards = self._greet(setup)

    def _greet(self, setup: dict[str, Any]) -> Guards:
        try:
            reply = channel.ask(self._socket, setup)
        except _LOST as error:
            self.close()
            raise SandboxError("the sandbox's server did not start") from error
        if "error" in reply:
            self.close()
            raise SandboxError(f"the sandbox's server did not start: {reply['error']}")
        return {protection: tuple(names) for protection, names in reply["guards"].items()}

    def check(self, source: str, inputs: Sequence[str], seconds: float) -> list[CheckResult]:
        self._socket.settimeout(seconds)
        return [_result(plain) for plain in channel.ask(self._socket, {"source": source, "inputs": list(inputs)})]

    def close(self) -> None:
        """End the server and wait for it; a server that does not go is killed, and its workers with it."""
        self._socket.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _result(plain: Any) -> CheckResult:
    return Verdict(plain) if isinstance(plain, bool) else CheckError(*plain)


class Sandbox:
    """Checks model-written functions; see the package for what it guards against and what not.

    `check` may be called from many threads at once: each call takes one of the `servers` for itself, or waits.
    From asyncio, call it through `asyncio.to_thread`.

    `imports` are the modules that functions may import, with the packages above them and what they load below;
    they must be installed here. `required` are the protections without which this raises SandboxError; pass
    fewer to run with less. `disable` leaves out a mechanism that does not work on this machine.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        imports: Collection[str] = DEFAULT_IMPORTS,
        required: Collection[Protection] = PROTECTIONS,
        disable: Collection[Literal["seccomp", "namespaces"]] = (),
        servers: int = 1,
    ) -> None:
        if sys.platform != "linux":
            raise SandboxError(f"the sandbox needs Linux, this is {sys.platform}")
        if servers < 1:
            raise SandboxError(f"servers: expected at least 1, got {servers}")
        self._limits = limits or Limits()
        self._setup = {
            "limits": dataclasses.asdict(self._limits),
            "imports": sorted(imports),
            "disable": sorted(disable),
            "host_pid": os.getpid(),
        }
        self._required = frozenset(required)
        self._closed = False
        self._free: queue.Queue[_Server | None] = queue.Queue()
        first = self._start()
        self._guards = first.guards
        self._servers = servers
        self._free.put(first)
        for _ in range(servers - 1):
            self._free.put(None)

    def guards(self) -> Guards:
        """The active mechanisms of each protection that was seen to hold at start."""
        return self._guards

    def check(self, source: str, inputs: Sequence[str]) -> list[CheckResult]:
        """Run `source`'s function `evaluate` on each of `inputs`: one result each, in order.

        Raises SandboxError where the sandbox is closed or a dead server cannot be replaced; nothing that
        the function does raises.
        """
        if not inputs:
            return []
        server = self._free.get()
        try:
            for _ in range(2):
                server = server or self._replacement()
                try:
                    return server.check(source, inputs, self._seconds(len(inputs)))
                except BaseException as error:
                    # Whatever it was, an interrupt included, this server's next answer would be an old one.
                    server.close()
                    server = None
                    if not isinstance(error, _LOST):
                        raise
            # Twice lost, most likely for want of memory.
            return [CheckError("killed", "the sandbox's server died")] * len(inputs)
        finally:
            self._free.put(server)

    def _seconds(self, calls: int) -> float:
        return self._limits.wall_seconds * calls + _GRACE_SECONDS

    def _replacement(self) -> _Server:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        return self._start()

    def _start(self) -> _Server:
        """A new server, which must have every required guard, whatever an earlier one had."""
        server = _Server(self._setup)
        missing = sorted(self._required - set(server.guards))
        if missing:
            server.close()
            raise SandboxError(
                f"this machine offers no guard for: {', '.join(missing)}; active are {dict(server.guards)}. "
                "Seccomp needs an x86-64 kernel; namespaces need user namespaces, which many containers refuse, "
                "and root without capabilities has none; without seccomp, resources also need Linux 6.9. "
                "Leave a protection out of `required` to run without it"
            )
        return server

    def close(self) -> None:
        """Wait for running checks and end all servers. Calling it twice does no harm."""
        if self._closed:
            return
        self._closed = True
        for _ in range(self._servers):
            server = self._free.get()
            if server is not None:
                server.close()
        for _ in range(self._servers):
            self._free.put(None)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
