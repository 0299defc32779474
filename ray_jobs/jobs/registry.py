"""Which jobs a configuration or an output stands for, in the order in which they run.

Most runs are one job. An AutoIF run is three, whose outputs lie in each other: see ray_jobs/jobs/autoif/phases.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from evolve.masking import mask_url
from ray_jobs.config.load import validated
from ray_jobs.config.run import RespondConfig, RunConfig, ScoreConfig
from ray_jobs.errors import ConfigError, OutputError
from ray_jobs.jobs.analysis.analyse import analysis_job
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.answer_tasks import AnswerTasksJob
from ray_jobs.jobs.autoif.config import AutoIFConfig
from ray_jobs.jobs.autoif.phases import AnswerPhase, AugmentPhase, InstructionPhase, autoif_jobs
from ray_jobs.jobs.finish_config import FinishingAutoIFConfig, FinishingRunConfig
from ray_jobs.jobs.score_pairs import ScorePairsJob
from ray_jobs.jobs.stores import stores_of
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept, ownership
from ray_jobs.output.begun_with import refuse_changes
from ray_jobs.output.file_names import RUN
from ray_jobs.output.run_files import read_run
from ray_jobs.pipeline.job import Job, PooledJob
from ray_jobs.runner.address import check_address
from ray_jobs.runner.drive import Say
from ray_jobs.storage.store import Store, open_store

REGISTRY: dict[str, tuple[type[BaseModel], Callable[[Any], Sequence[PooledJob]]]] = {
    SynthesisJob.kind: (FinishingRunConfig, lambda config: [SynthesisJob(config)]),
    ScorePairsJob.kind: (ScoreConfig, lambda config: [ScorePairsJob(config)]),
    AnswerTasksJob.kind: (RespondConfig, lambda config: [AnswerTasksJob(config)]),
    AugmentPhase.kind: (FinishingAutoIFConfig, autoif_jobs),
    AnalysisJob.kind: (AnalysisRunConfig, lambda config: [analysis_job(config)]),
}
"""The kinds of a run's first job, with its configuration and all its jobs."""
PHASES = frozenset({AugmentPhase.kind, InstructionPhase.kind, AnswerPhase.kind})
"""The jobs of an AutoIF run, none of which stands alone."""


def jobs_of(config: RunConfig | AutoIFConfig) -> list[Job]:
    """The jobs of a configuration. Raises ConfigError."""
    return [*autoif_jobs(config)] if isinstance(config, AutoIFConfig) else [SynthesisJob(config)]


def run_all(jobs: Sequence[PooledJob], verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """Begin or resume jobs one after the other, and return the last one's report. Raises as `run` does.

    The last one's output is claimed first, for those of the others lie in it.
    """
    # here, for it loads Ray
    from ray_jobs.runner.run import run

    outer = jobs[-1]
    check_address(outer.config.ray)
    ownership.claim(open_store(outer.config.output, outer.config.storage), outer.holds)
    report: dict[str, Any] = {}
    for index, job in enumerate(jobs, start=1):
        if len(jobs) > 1:
            say(f"phase {index} of {len(jobs)}: {mask_url(job.config.output)}")
        report = run(job, verbose, say)
    return report


def stored_jobs(
    store: Store, output: str, storage: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> Sequence[PooledJob]:
    """The jobs of the output in `store`, for `output` and `storage` as they are now: options are never written down.

    With `given` under these settings, which must give the same results as the stored ones. Raises SettingsChanged where
    they do not, and OutputError where there is no run, one phase of a run alone, or one whose job or configuration this
    version does not know.
    """
    phase, first = next(iter(stores_of(store).items()))
    stored = read_run(first)
    kind = str(stored["job"])
    if kind in PHASES and not phase:
        raise OutputError(
            f"{first.url}: holds a phase of an AutoIF run ({kind}), and none below it; name the folder that has all "
            "phases, the one above"
        )
    if kind not in REGISTRY:
        raise OutputError(f"{first.url}: holds a job {kind}, expected one of {', '.join(REGISTRY)}")
    model, jobs = REGISTRY[kind]
    if given is not None:
        found = jobs(validated(model, {**given, "output": output, "storage": storage}, "the settings"))
        for item, job in zip(stores_of(store).values(), found, strict=False):
            refuse_changes(item, accept.load(item), job.noted())
        return found
    try:
        config = validated(model, {**stored["configuration"], "output": output, "storage": storage}, RUN)
    except ConfigError as error:
        raise OutputError(f"{first.url}: its configuration cannot be used by this version: {error}") from None
    return jobs(config)
