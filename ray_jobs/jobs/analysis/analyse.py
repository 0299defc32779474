"""One analysis from its configuration to its table and summary beside the data; the same call resumes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray_jobs.datasets.analyses import FOLDER
from ray_jobs.datasets.source import check_source, open_source
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.config import (
    AnalysisRunConfig,
    DifficultyConfig,
    DifficultyScoreConfig,
    DiversityConfig,
    EvolutionRewardConfig,
    KeyPhrasesConfig,
    RewardAnalysisConfig,
    Top1Config,
    TrajectoriesConfig,
    WinConfig,
)
from ray_jobs.jobs.analysis.diversity import EMBEDDINGS, EncodeJob, measure_distances
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.analysis.judging import DifficultyJob, KeyPhrasesJob, WinJob
from ray_jobs.jobs.analysis.local import measure_top1, measure_trajectories
from ray_jobs.jobs.analysis.rewards import EvolutionRewardJob, RewardJob
from ray_jobs.jobs.analysis.summaries import SUMMARY
from ray_jobs.jobs.begun import as_begun
from ray_jobs.output import ownership
from ray_jobs.output.run_files import read_list
from ray_jobs.runner.run import run
from ray_jobs.storage.store import open_store

Say = Callable[[str], None]


def analyse(config: AnalysisRunConfig, verbose: bool = False, say: Say = print) -> list[dict[str, Any]]:
    """Measure the records of `config.source` as far as they are not measured, and return the summary.

    Raises OutputError where there is no dataset, ConfigError for a model or templates that cannot be used, and as
    `run` does.
    """
    source, store = open_store(config.source, config.storage), open_store(config.output, config.storage)
    # before the first file of the analysis, which lies in what is perhaps no dataset
    check_source(source)
    ownership.check_place(store, "analysis")
    match config.analysis:
        case TrajectoriesConfig():
            measure_trajectories(open_source(source), store)
        case Top1Config():
            measure_top1(open_source(source), store)
        case DiversityConfig():
            vectors = folder_of(config.source, EMBEDDINGS)
            _run(config.model_copy(update={"output": vectors}), verbose, say)
            measure_distances(open_store(vectors, config.storage), store, say)
        case _:
            _run(config, verbose, say)
    return read_list(store, SUMMARY)


def _run(config: AnalysisRunConfig, verbose: bool, say: Say) -> None:
    job = analysis_job(config)
    ownership.claim(open_store(config.output, config.storage), job.holds)
    run(job, verbose, say)


def analysis_job(config: AnalysisRunConfig) -> AnalysisJob:
    """The job of an analysis that has a pool, under the defaults that its output was begun with. Raises ConfigError."""
    config, begun = as_begun(config)
    job = _job(config)
    job.begun = begun
    return job


def _job(config: AnalysisRunConfig) -> AnalysisJob:
    match config.analysis:
        case (DifficultyConfig() | DifficultyScoreConfig()) as analysis:
            return DifficultyJob(config, analysis)
        case KeyPhrasesConfig() as analysis:
            return KeyPhrasesJob(config, analysis)
        case WinConfig() as analysis:
            return WinJob(config, analysis)
        case DiversityConfig() as analysis:
            return EncodeJob(config, analysis)
        case RewardAnalysisConfig() as analysis:
            return RewardJob(config, analysis)
        case EvolutionRewardConfig() as analysis:
            return EvolutionRewardJob(config, analysis)
        case other:
            raise ConfigError(f"{other.kind}: has no pool, and so nothing to run again")


def check_analysis(config: AnalysisRunConfig) -> None:
    """Check what needs no cluster: models and templates. Raises ConfigError."""
    if not isinstance(config.analysis, TrajectoriesConfig | Top1Config):
        analysis_job(config)


def folder_of(source: str, name: str) -> str:
    """Where the analysis `name` of a dataset lies."""
    return f"{source.rstrip('/')}/{FOLDER}/{name}"
