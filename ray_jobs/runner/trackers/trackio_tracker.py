"""trackio: a run of one of its projects, in files of this machine or in a Space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ray_jobs.config.trackers import End, TrackedRun, Tracker, TrackerKind


class TrackioConfig(TrackerKind):
    """trackio. Without a `space` everything stays on this machine, where its variable TRACKIO_DIR says."""

    kind: Literal["trackio"]
    project: str = "slm-evolve"
    space: str | None = None

    def start(self, run: TrackedRun) -> Tracker:
        """A new run, in a group of all that work on one output."""
        import trackio

        begun = trackio.init(
            project=self.project,
            name=None,
            group=run.run_id,
            space_id=self.space,
            config={"output": run.output, "job": run.kind, **run.settings},
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return _TrackioRun(begun)


class _TrackioRun(Tracker):
    def __init__(self, begun: Any) -> None:
        self._run = begun

    def log(self, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures))

    def finish(self, end: End) -> None:
        self._run.log({f"ended/{end}": 1})
        self._run.finish()
