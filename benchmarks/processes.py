"""CPU seconds and peak memory of this process and everything below it, by what each process does."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass

import psutil

SAMPLE_SECONDS = 0.5
_RAY_WORKER = re.compile(r"ray::(?:MapWorker\()?(.*?)\)?(?:\.\w+)?(?:\(\))?$")


@dataclass
class Usage:
    """CPU seconds so far and the greatest resident memory, in bytes, of one process."""

    role: str
    cpu: float = 0.0
    memory: int = 0


class ProcessWatch:
    """Samples the process tree twice a second while the context lasts; a process keeps its last sample."""

    def __init__(self) -> None:
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
        totals: defaultdict[str, float] = defaultdict(float)
        for usage in self._seen.values():
            totals[usage.role] += usage.cpu
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def peak_memory(self, role: str) -> int:
        """The greatest resident memory, in bytes, of any process of `role`."""
        return max((usage.memory for usage in self._seen.values() if usage.role == role), default=0)

    def _keep(self) -> None:
        this = psutil.Process()
        while not self._stop.wait(SAMPLE_SECONDS):
            self._sample(this, "driver")
            for process in this.children(recursive=True):
                self._sample(process, None)

    def _sample(self, process: psutil.Process, role: str | None) -> None:
        try:
            times, memory = process.cpu_times(), process.memory_info().rss
            role = role or _role(process)
        except psutil.Error:
            return
        usage = self._seen.setdefault(process.pid, Usage(role))
        # a worker that was idle when first seen has its real name later
        usage.role = usage.role if role == "idle worker" else role
        usage.cpu, usage.memory = times.user + times.system, max(usage.memory, memory)


def _role(process: psutil.Process) -> str:
    command = process.cmdline()
    title = command[0] if command else process.name()
    if title.startswith("ray::"):
        inner = _RAY_WORKER.match(title)
        name = inner[1] if inner else title
        return "idle worker" if "IDLE" in name.upper() else name
    return process.name()
