"""CPU seconds and memory of this process and everything below it, over time and by what each process does."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

import psutil

SAMPLE_SECONDS = 0.5
DRIVER = "driver"
_RAY_WORKER = re.compile(r"ray::(?:MapWorker\()?(.*?)\)?(?:\.\w+)?(?:\(\))?$")


def even_priority() -> None:
    """Let Ray's workers run at the priority of everything else on the machine, before Ray starts.

    By itself Ray puts them behind: on a machine that does other work beside they would wait where what they are
    measured against would not.
    """
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # Ray's own spelling


@dataclass
class Usage:
    """CPU seconds so far and the greatest resident memory, in bytes, of one process."""

    role: str
    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Sample:
    """One moment, by time.monotonic(): CPU seconds by process so far, and the driver's resident memory in bytes."""

    at: float
    cpu: dict[int, float]
    driver_memory: int


class ProcessWatch:
    """Samples the process tree twice a second while the context lasts; a process keeps its last sample."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._seen: dict[int, Usage] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> ProcessWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def cpu_by_role(self) -> dict[str, float]:
        """CPU seconds by role, greatest first."""
        return self._by_role({pid: usage.cpu for pid, usage in self._seen.items()})

    def cpu_between(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds by role that were spent between two moments of time.monotonic(), greatest first."""
        inside = [sample for sample in self.samples if start <= sample.at <= end]
        first, last = inside[0].cpu, inside[-1].cpu
        return self._by_role({pid: cpu - first.get(pid, 0.0) for pid, cpu in last.items()})

    def processes(self) -> Counter[str]:
        """How many processes each role had."""
        return Counter(usage.role for usage in self._seen.values())

    def peak_memory(self, role: str) -> int:
        """The greatest resident memory, in bytes, of any process of `role`."""
        return max((usage.memory for usage in self._seen.values() if usage.role == role), default=0)

    def _by_role(self, cpu: dict[int, float]) -> dict[str, float]:
        totals: defaultdict[str, float] = defaultdict(float)
        for pid, seconds in cpu.items():
            totals[self._seen[pid].role] += seconds
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def _keep(self) -> None:
        this = psutil.Process()
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample(this, DRIVER)
            memory = this.memory_info().rss
            for process in this.children(recursive=True):
                self._sample(process, None)
            cpu = {pid: usage.cpu for pid, usage in self._seen.items()}
            self.samples.append(Sample(time.monotonic(), cpu, memory))

    def _sample(self, process: psutil.Process, role: str | None) -> None:
        try:
            times, memory = process.cpu_times(), process.memory_info().rss
            role = role or role_of(process)
        except psutil.Error:
            return
        usage = self._seen.setdefault(process.pid, Usage(role))
        # a worker that was idle when first seen has its real name later, and none as it ends
        usage.role = usage.role if role in ("idle worker", "") else role
        usage.cpu, usage.memory = times.user + times.system, max(usage.memory, memory)


def role_of(process: psutil.Process) -> str:
    """What a process does, by its title. Raises psutil.Error."""
    command = process.cmdline()
    title = command[0] if command else process.name()
    if title.startswith("ray::"):
        inner = _RAY_WORKER.match(title)
        name = inner[1] if inner else title
        return "idle worker" if "IDLE" in name.upper() else name
    return process.name()
