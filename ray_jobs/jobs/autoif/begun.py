"""Constants of the paper's preset that have changed since outputs were begun under it."""

from __future__ import annotations

from evolve.autoif.rules import PAPER, PAPER_BEFORE
from ray_jobs.jobs.autoif.config import AutoIFConfig
from ray_jobs.jobs.autoif.stores import AUGMENT
from ray_jobs.output import accept
from ray_jobs.output.run_files import read_run
from ray_jobs.storage.store import open_store


def as_begun(run: AutoIFConfig) -> tuple[AutoIFConfig, dict[str, object]]:
    """`run` with the preset's constants of the time at which its output was begun, and those that differ from today's.

    Only constants that stand at the preset's value are set back: one that the configuration gives is compared with
    the output's as any other setting. Raises StorageError where the output cannot be looked at.
    """
    if run.strategy.preset != "paper":
        return run, {}
    store = open_store(run.output, run.storage).below(AUGMENT)
    if not accept.is_planned(store):
        return run, {}
    stored = read_run(store)["configuration"]["strategy"]
    before = {
        name: value
        for name, value in PAPER_BEFORE.items()
        if getattr(run.strategy, name) == getattr(PAPER, name) and stored.get(name, value) == value
    }
    return run.model_copy(update={"strategy": run.strategy.model_copy(update=before)}), before
