"""Answering instructions that exist already: read, respond, score, write, resumable like every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evolve.errors import EvolveError
from evolve.prompts import check_folder, shipped_names
from evolve.strategies.elimination import Elimination
from evolve.strategies.respond import BARE, load_response_template
from ray_jobs.config.identity import result_settings
from ray_jobs.config.run import RespondConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.earlier_defaults import as_begun
from ray_jobs.jobs.preflight import check_models, check_sampling, check_variables
from ray_jobs.jobs.stages import responding, scoring
from ray_jobs.jobs.thinking import told
from ray_jobs.output.card import shown_model
from ray_jobs.output.plan import Fanout
from ray_jobs.pipeline.actors import RespondTask
from ray_jobs.pipeline.begun import as_tasks
from ray_jobs.pipeline.job import SeededJob
from ray_jobs.pipeline.stage import Pipeline

TASKS = "tasks"
"""The one branch of the plan, in the place of an evolver."""


class AnswerTasksJob(SeededJob):
    """Every distinct instruction of a dataset becomes one record, of round 0, with a new answer. Raises ConfigError."""

    kind = "respond"

    def __init__(self, config: RespondConfig) -> None:
        config, self.set_back = as_begun(config)
        super().__init__(config)
        self._config = config
        try:
            if config.templates is not None:
                check_folder(config.templates, shipped_names())
            self._template = load_response_template(config.responder.prompt, config.templates)
        except EvolveError as error:
            raise ConfigError(f"templates: {error}") from None
        check_variables(config)
        check_models(self.pipeline.stages)
        check_sampling("responder.sampling", config.responder.sampling, [config.responder.engine])

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Tell what is as it was when the output was begun, and how thoughts are read."""
        told(say, self.set_back, self._config)

    @property
    def pipeline(self) -> Pipeline:
        """Plan, respond, score."""
        config = self._config
        rules = Elimination(**config.elimination.model_dump())
        choice = config.responder.choice
        task = RespondTask(config.responder.build(rules, self._template), config.seed, choice)
        stages = (responding(config.responder, task), *scoring(config.scorer, choice))
        return Pipeline((TASKS,), stages, prepare=as_tasks)

    @property
    def records_per_row(self) -> int:
        """The answer."""
        return 1

    def settings(self) -> dict[str, Any]:
        """Those of responder and scorer, and the digest of a template that is more than the bare task."""
        settings = result_settings(self._config) | {"job": self.kind}
        if self._template.digest() != BARE.digest():
            settings["responder.template"] = self._template.digest()
        return settings

    def fanout(self) -> Fanout:
        """One row an instruction."""
        return Fanout({TASKS: 1.0}, split=False, samples=1, strategy_fingerprint=self.kind, run_seed=0)

    def description(self) -> tuple[str, str]:
        """The responder."""
        return (
            "Answered instructions",
            f"Instructions answered by `{shown_model(self._config.responder.engine.label)}`.",
        )
