"""Weights & Biases: a run of one of its projects. Keys and servers are those of its own variables (WANDB_API_KEY)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ray_jobs.config.trackers import End, TrackedRun, Tracker, TrackerKind


class WandbConfig(TrackerKind):
    """Weights & Biases. Without a `mode` its variable WANDB_MODE counts; `folder` is where it keeps its files."""

    kind: Literal["wandb"]
    project: str = "slm-evolve"
    entity: str | None = None
    mode: Literal["online", "offline"] | None = None
    folder: str | None = None

    def start(self, run: TrackedRun) -> Tracker:
        """A new run, in a group of all that work on one output."""
        import wandb

        begun = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            dir=self.folder,
            name=run.name,
            group=run.run_id,
            job_type=run.kind,
            config={"output": run.output, **run.settings},
            reinit="create_new",
            # standard output and the program are the user's; figures alone are sent
            settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
        )
        return _WandbRun(begun)


class _WandbRun(Tracker):
    def __init__(self, begun: Any) -> None:
        self._run = begun

    def log(self, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures))

    def finish(self, end: End) -> None:
        self._run.finish(exit_code=0 if end == "finished" else 1)
