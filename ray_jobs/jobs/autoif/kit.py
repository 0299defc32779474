"""What all of AutoIF's actors are told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from evolve.autoif.rules import Rules
from evolve.autoif.templates import Templates
from evolve.sandbox import Limits, Protection, Sandbox
from ray_jobs.pipeline.actor import Row

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kit:
    """What all steps share: rules, prompts, the run's seed, and how its sandboxes are made.

    Evolvers that share the engine have `adapters`, by their names, "" for the bare model.
    """

    rules: Rules
    templates: Templates
    run_seed: int
    limits: Limits
    required: frozenset[Protection]
    servers: int
    adapters: Mapping[str, str] = field(default_factory=dict)

    def sandbox(self) -> Sandbox:
        """A sandbox of this process. Raises SandboxError where the machine lacks a required guard."""
        box = Sandbox(self.limits, required=self.required, servers=self.servers)
        log.info("sandbox guards: %s", dict(box.guards()))
        return box

    def rng(self, step: str, row: Row, number: int = 0) -> Random:
        """The randomness of one step of one row."""
        return Random(f"{self.run_seed} {step} {row['row_id']} {number}")
