"""A configured run with all that belongs to it: its checks, its jobs, and the steps at its end."""

from __future__ import annotations

from typing import Any

from ray_jobs.jobs.finish import check_finish, finish
from ray_jobs.jobs.finish_config import FinishingConfig
from ray_jobs.jobs.notify import notified
from ray_jobs.jobs.registry import jobs_of, run_all
from ray_jobs.runner.drive import Say


def run(config: FinishingConfig, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """Begin the run of a configuration, or resume it where it stopped, and return its report once all of it is done.

    It joins the Ray that this process is connected to, or the cluster that the configuration names; else it starts one
    on this machine, which ends with the run. `say` takes a line for people. To be called in the main thread: an
    interrupt stops the run in good order, and the same call goes on.

    Raises a JobError: ConfigError, SeedError, StorageError, OutputError where another run is at work or the settings
    have changed, PoolError, ClusterError, Stopped, BudgetSpent; whatever was finished by then is committed.

    >>> from ray_jobs import load_config
    >>> report = run(load_config("run.yaml", ["strategy.rounds=1"], output="out/third"))  # doctest: +ELLIPSIS
    plan: 4 seeds, 8 rows, ...
    >>> report["records"]
    {'planned': 8, 'kept': 8, 'rejected': 0, 'failed': 0}
    """
    with notified(config.notify, config.output, config.storage, say):
        check_finish(config)
        report = run_all(jobs_of(config), verbose, say)
        finish(config, verbose, say)
    return report
