"""A tracker that writes down what it is told, or fails or hangs at one of its steps."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ray_jobs.config.trackers import End, Moment, TrackedRun, Tracker, TrackerKind

KIND = f"{__name__}:ScriptedTrackerConfig"
Step = Literal["start", "stage", "log", "finish"]


class ScriptedTrackerConfig(TrackerKind):
    """Writes a line of JSON a step to `file`; raises at the step `fails`, waits for ever behind the step `hangs`."""

    kind: str = KIND
    file: str
    fails: Step | None = None
    hangs: Step | None = None

    def start(self, run: TrackedRun) -> Tracker:
        return ScriptedTracker(self, run)


class ScriptedTracker(Tracker):
    def __init__(self, config: ScriptedTrackerConfig, run: TrackedRun) -> None:
        self._config = config
        self._write("start", {"name": run.name, "run_id": run.run_id, "kind": run.kind, "settings": dict(run.settings)})

    def stage(self, pool: str, moment: Moment, nanoseconds: int) -> None:
        self._write("stage", [pool, moment])

    def log(self, figures: Mapping[str, float]) -> None:
        self._write("log", dict(figures))

    def finish(self, end: End) -> None:
        self._write("finish", end)

    def _write(self, step: Step, told: Any) -> None:
        if step == self._config.fails:
            logging.getLogger("library").error("cannot connect, trying again")
            raise SystemExit("http://anna:password@tracker is away\nbecause of more")
        with Path(self._config.file).open("a") as file:
            file.write(json.dumps([step, told]) + "\n")
        if step == self._config.hangs:
            threading.Event().wait()


def told(file: Path) -> list[tuple[Step, Any]]:
    """The steps that a tracker was told, in order, each with what it was told."""
    return [tuple(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
