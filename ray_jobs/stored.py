"""The job that an output was begun with, from what its run.json says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ray_jobs.analysis.analyse import analysis_job
from ray_jobs.analysis.config import AnalysisRunConfig
from ray_jobs.analysis.job import AnalysisJob
from ray_jobs.config import ScoreConfig
from ray_jobs.errors import OutputError
from ray_jobs.finish_config import FinishingRunConfig
from ray_jobs.job import PooledJob
from ray_jobs.report import RUN, read_run
from ray_jobs.score_pairs import ScorePairsJob
from ray_jobs.storage import Store
from ray_jobs.synthesize import SynthesisJob

KINDS: dict[str, tuple[type[BaseModel], Callable[[Any], PooledJob]]] = {
    SynthesisJob.kind: (FinishingRunConfig, SynthesisJob),
    ScorePairsJob.kind: (ScoreConfig, ScorePairsJob),
    AnalysisJob.kind: (AnalysisRunConfig, analysis_job),
}


def stored_job(store: Store, output: str, storage: Mapping[str, Any]) -> PooledJob:
    """The job of the output in `store`, for `output` and `storage` as they are now: options are never written down.

    Raises OutputError where there is no run, or one whose configuration this version does not know.
    """
    stored = read_run(store)
    model, job = KINDS[stored["kind"]]
    try:
        return job(model.model_validate({**stored["configuration"], "output": output, "storage": storage}))
    except ValidationError as error:
        raise OutputError(f"{store.url_of(RUN)}: its configuration cannot be used by this version: {error}") from None
