"""One analysis from its configuration to its table and summary beside the data; the same call resumes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray_jobs.config.registered import naming
from ray_jobs.datasets.analyses import FOLDER
from ray_jobs.datasets.source import open_source
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.analysis.summaries import SUMMARY
from ray_jobs.jobs.earlier_defaults import as_begun
from ray_jobs.output import ownership
from ray_jobs.output.run_files import read_list
from ray_jobs.storage.store import open_store

Say = Callable[[str], None]


def analyse(config: AnalysisRunConfig, verbose: bool = False, say: Say = print) -> list[dict[str, Any]]:
    """Measure the records of `config.source` as far as they are not measured, and return the summary.

    Raises OutputError where there is no dataset, ConfigError for a model or templates that cannot be used, and as
    `run` does.
    """
    source, store = open_store(config.source, config.storage), open_store(config.output, config.storage)
    # before the first file of the analysis, which lies in what is perhaps no dataset
    open_source(source).tell_unfinished(say)
    ownership.check_place(store, "analysis")
    if job := _job(_in_its_folder(config)):
        # here, for it loads Ray
        from ray_jobs.runner.run import run

        ownership.claim(open_store(job.config.output, config.storage), job.holds)
        run(job, verbose, say)
    config.analysis.measure(source, store, say)
    return read_list(store, SUMMARY)


def analysis_job(config: AnalysisRunConfig) -> AnalysisJob:
    """The job of an analysis that has a pool. Raises ConfigError."""
    if job := _job(config):
        return job
    raise ConfigError(f"{config.analysis.kind}: has no pool, and so nothing to run again")


def check_analysis(config: AnalysisRunConfig) -> None:
    """Check what needs no cluster: models and templates. Raises ConfigError."""
    _job(config)


def folder_of(source: str, name: str) -> str:
    """Where the analysis `name` of a dataset lies."""
    return f"{source.rstrip('/')}/{FOLDER}/{name}"


def _job(config: AnalysisRunConfig) -> AnalysisJob | None:
    """The job under the defaults that its output was begun with."""
    config, set_back = as_begun(config)
    with naming(type(config.analysis), config.analysis.kind):
        job = config.analysis.job(config)
    if job:
        job.set_back = set_back
    return job


def _in_its_folder(config: AnalysisRunConfig) -> AnalysisRunConfig:
    """The configuration of the job alone, where that has a folder of its own."""
    folder = config.analysis.pool_folder
    return config if folder is None else config.model_copy(update={"output": folder_of(config.source, folder)})
