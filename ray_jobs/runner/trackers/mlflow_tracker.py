"""MLflow: a run of one of its experiments, by its client, which keeps no state that a user's own code might share."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping
from typing import Any, Literal

from ray_jobs.config.secrets import Address
from ray_jobs.config.trackers import End, TrackedRun, Tracker, TrackerKind

_UNNAMED = re.compile(r"[^\w.\-/: ]")
"""What MLflow takes in no name of a metric or a parameter."""
BATCH, VALUE_CHARACTERS = 100, 6000
"""As many parameters it takes at once, and so much of each."""
STATUS: Mapping[End, str] = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowConfig(TrackerKind):
    """MLflow. Without a `uri`, of a server or a database, its variable MLFLOW_TRACKING_URI counts."""

    kind: Literal["mlflow"]
    uri: Address | None = None
    experiment: str = "slm-evolve"

    def start(self, run: TrackedRun) -> Tracker:
        """A new run, with the settings as its parameters."""
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self.uri)
        found = client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self.experiment)
        tags = {"run_id": run.run_id, "job": run.kind, "output": run.output}
        begun = client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        params = [Param(_named(name), str(value)[:VALUE_CHARACTERS]) for name, value in run.settings.items()]
        for first in range(0, len(params), BATCH):
            client.log_batch(begun, params=params[first : first + BATCH])
        return _MlflowRun(client, begun)


class _MlflowRun(Tracker):
    def __init__(self, client: Any, begun: str) -> None:
        self._client, self._begun, self._steps = client, begun, itertools.count()

    def log(self, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        step, now = next(self._steps), int(time.time() * 1000)
        metrics = [Metric(_named(name), value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._begun, metrics=metrics)

    def finish(self, end: End) -> None:
        self._client.set_terminated(self._begun, STATUS[end])


def _named(name: str) -> str:
    return _UNNAMED.sub("_", name)
