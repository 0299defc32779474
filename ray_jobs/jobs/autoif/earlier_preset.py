"""Outputs that were begun under version 0.1's preset `paper`, three constants of which have changed since."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from evolve.autoif.rules import PAPER, PAPER_BEFORE
from ray_jobs.jobs.autoif.config import AutoIFConfig
from ray_jobs.jobs.autoif.stores import AUGMENT
from ray_jobs.output import accept
from ray_jobs.output.run_files import read_run
from ray_jobs.storage.store import open_store

BEFORE = "paper_0.1"
"""The preset's name since, in the configuration that such an output records when it is gone on with."""


def as_begun(run: AutoIFConfig) -> tuple[AutoIFConfig, dict[str, object]]:
    """`run` under the preset under which its output was begun, and the constants that this has changed.

    A constant that the configuration gives stays, and is compared with the output's as any other setting. Raises
    StorageError where the output cannot be looked at.
    """
    if run.strategy.preset != "paper":
        return run, {}
    store = open_store(run.output, run.storage).below(AUGMENT)
    if not (accept.is_planned(store) and _is_of_before(read_run(store))):
        return run, {}
    now = asdict(PAPER)
    before = {
        name: value
        for name, value in asdict(PAPER_BEFORE).items()
        if value != now[name] and name not in run.strategy.given
    }
    return run.model_copy(update={"strategy": run.strategy.model_copy(update={**before, "preset": BEFORE})}), before


def _is_of_before(stored: dict[str, Any]) -> bool:
    """Whether a run.json is version 0.1's, which wrote no format, or of a run that went on with such an output."""
    return "format" not in stored or stored["configuration"]["strategy"]["preset"] == BEFORE
