"""Where a run's figures go beside its own report: the experiment tracker that somebody keeps."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ray_jobs.config.base import Kind
from ray_jobs.config.kinds import TRACKERS

Moment = Literal["began", "ready", "ended"]
"""What happened to a pool: its first actor was heard of, could begin, or its last row is done."""
End = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker hears of a run that begins or goes on: no text of any record.

    `settings` are those that change results, by dotted path; they and `output` hold no passwords. It `began` so many
    nanoseconds after 1970.
    """

    run_id: str
    kind: str
    output: str
    settings: Mapping[str, Any]
    began: int = field(default_factory=time.time_ns)

    @property
    def name(self) -> str:
        """The last part of the output's path."""
        return self.output.rstrip("/").rpartition("/")[2]


class Tracker(ABC):
    """One run in one tracker. It is called from one thread of its own; what it raises or waits for holds up nobody."""

    @abstractmethod
    def log(self, figures: Mapping[str, float]) -> None:
        """Take the figures of one moment, such as `evolve_pool_rows/respond`."""

    def stage(self, pool: str, moment: Moment, nanoseconds: int) -> None:  # noqa: B027  # most know no stages
        """Take what happened to a pool, and when, since 1970."""

    @abstractmethod
    def finish(self, end: End) -> None:
        """Send whatever is left."""


class TrackerKind(Kind):
    """A tracker, and where it is. Importing its library is left to `start`, for it may not be installed."""

    @abstractmethod
    def start(self, run: TrackedRun) -> Tracker:
        """Begin one run in the tracker. Raises whatever its library does."""


TrackerConfig = Annotated[TrackerKind, TRACKERS]
"""A field that holds a tracker."""
