"""The server's side of a check: fork a worker, time its calls from outside, kill it with all it started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from evolve.sandbox import worker
from evolve.sandbox.records import CheckError, CheckResult, Limits, Verdict

_EXIT_NOT_LOCKED = 99


class HostGone(Exception):
    """Whoever asked for the check is no longer there."""


@dataclass
class Supervisor:
    """Runs checks one after the other. `owns_pid_namespace`: this process is process 1 of its own.

    `host` are descriptors that turn readable once the host has gone; `fork` starts a worker like os.fork.
    """

    limits: Limits
    imports: frozenset[str]
    filter_program: bytes | None
    owns_pid_namespace: bool
    host: Sequence[int]
    fork: Callable[[], int]

    def check(self, source: str, inputs: Sequence[str]) -> list[CheckResult]:
        """One result an input. Raises HostGone, and leaves no process behind in any case."""
        results: list[CheckResult] = []
        kills = 0
        while len(results) < len(inputs):
            if kills >= self.limits.kills:
                rest = len(inputs) - len(results)
                return results + [CheckError("abandoned", f"{kills} calls had to be killed")] * rest
            results += self._one_worker(source, inputs[len(results) :])
            kills += 1
        return results

    def _one_worker(self, source: str, inputs: Sequence[str]) -> list[CheckResult]:
        """At least one result; fewer than `inputs` where the worker's last call had to be its last."""
        reader, writer = os.pipe()
        pid = self.fork()
        if pid == 0:
            self._be_worker(source, inputs, writer)
        os.close(writer)
        exited = os.pidfd_open(pid)
        try:
            watch = _Watch(pid, reader, exited, self.limits, self.host, len(inputs))
            results, failure = watch.results()
        finally:
            status = self._kill(pid)
            os.close(reader)
            os.close(exited)
        if failure is not None:
            results.append(failure)
        elif not results or (len(results) < len(inputs) and not _out_of_memory(results[-1])):
            results.append(_ending(status))
        return results

    def _be_worker(self, source: str, inputs: Sequence[str], writer: int) -> None:
        code = _EXIT_NOT_LOCKED
        try:
            worker.lock_in(self.limits, len(inputs), writer, self.filter_program)
            code = 0
            worker.run(source, inputs, self.imports)
        except BaseException:  # a worker never returns into the server's code
            code = code or 1
        finally:
            os._exit(code)

    def _kill(self, pid: int) -> int:
        """Kill the worker, and in a namespace of our own everything else; returns the worker's status."""
        if not self.owns_pid_namespace:
            os.kill(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1]
        status = 0
        while True:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            try:
                ended, how = os.waitpid(-1, 0)
            except ChildProcessError:
                return status
            status = how if ended == pid else status


def _out_of_memory(result: CheckResult) -> bool:
    return isinstance(result, CheckError) and result.kind == "memory"


def _ending(status: int) -> CheckError:
    code = os.waitstatus_to_exitcode(status)
    if code == _EXIT_NOT_LOCKED:
        return CheckError("killed", "the worker could not lock itself in")
    how = f"ended by signal {-code}" if code < 0 else f"exited with status {code}"
    return CheckError("killed", how)


@dataclass
class _Watch:
    """Reads one worker's verdicts against the clocks."""

    pid: int
    reader: int
    exited: int
    limits: Limits
    host: Sequence[int]
    expected: int
    _buffer: bytearray = field(default_factory=bytearray)

    def results(self) -> tuple[list[CheckResult], CheckError | None]:
        """The verdicts up to the last, or up to a call that must be killed, with the reason for that."""
        poller = select.poll()
        for descriptor in (self.reader, self.exited, *self.host):
            poller.register(descriptor, select.POLLIN)
        results: list[CheckResult] = []
        wall, cpu = time.monotonic(), 0.0
        while len(results) < self.expected:
            left = self._seconds_left(wall, cpu)
            if left <= 0:
                return results, CheckError("timeout", "the call used up its time")
            ready = {descriptor for descriptor, _ in poller.poll(left * 1000 + 1)}
            if ready.intersection(self.host):
                raise HostGone
            if self.reader in ready:
                open_end = self._read()
                fresh = self._frames()
                if fresh is None or len(results) + len(fresh) > self.expected:
                    return results, CheckError("killed", "it wrote to the verdict pipe")
                if fresh:
                    results += fresh
                    wall, cpu = time.monotonic(), self._cpu_seconds()
                if not open_end:
                    return results, None
            elif self.exited in ready:
                return results, None
        return results, None

    def _seconds_left(self, wall: float, cpu: float) -> float:
        """Time until the next look: none where the wall clock or the processor's is used up."""
        wall_left = self.limits.wall_seconds - (time.monotonic() - wall)
        cpu_left = self.limits.cpu_seconds - (self._cpu_seconds() - cpu)
        return min(wall_left, cpu_left)

    def _cpu_seconds(self) -> float:
        """Processor time of the worker, its threads included (clock_getcpuclockid(3) on Linux)."""
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            # It has ended; the pipe and the descriptor of its end say how.
            return 0.0

    def _read(self) -> bool:
        chunk = os.read(self.reader, 65536)
        self._buffer += chunk
        return bool(chunk)

    def _frames(self) -> list[CheckResult] | None:
        """The complete verdicts in the buffer; None where something else is in it."""
        found: list[CheckResult] = []
        while len(self._buffer) >= 2 and len(self._buffer) >= 2 + self._buffer[1]:
            code, size = bytes(self._buffer[:1]), self._buffer[1]
            detail = self._buffer[2 : 2 + size].decode("utf-8", "replace")
            del self._buffer[: 2 + size]
            if code in (worker.HOLDS, worker.FAILS) and not detail:
                found.append(Verdict(code == worker.HOLDS))
            elif code in worker.ERROR_CODES and size <= worker.DETAIL_BYTES:
                found.append(CheckError(worker.ERROR_CODES[code], detail))
            else:
                return None
        return found
