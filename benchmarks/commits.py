"""How fast an output grows: the rows of the parts that its manifest lists, over time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ray_jobs.output.checksums import from_checked

LOOK_SECONDS = 0.25


class CommitWatch:
    """Looks at an output on local disk four times a second while the context lasts."""

    def __init__(self, output: Path) -> None:
        self._entries = output / "entries"
        self._rows: dict[str, int] = {}
        self._totals: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> CommitWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def middle(self, start: float = 0.25, end: float = 0.9) -> tuple[float, float, int]:
        """The stretch between two shares of all committed rows: from when, to when (time.monotonic()), how many rows.

        What lies before is start-up: models load, pools fill one after the other. What lies behind is the tail.
        """
        total = self._totals[-1][1]
        inside = [(at, rows) for at, rows in self._totals if start * total <= rows <= end * total]
        (first, before), (last, after) = inside[0], inside[-1]
        return first, last, after - before

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        for path in self._entries.glob("*/part-*.json"):
            if path.name not in self._rows:
                entry = from_checked(path.read_bytes(), str(path))
                self._rows[path.name] = entry["part"]["tally"]["rows"]
        self._totals.append((time.monotonic(), sum(self._rows.values())))
