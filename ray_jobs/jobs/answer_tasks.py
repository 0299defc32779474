"""Answering instructions that exist already: read, respond, score, write, resumable like every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.data import Dataset

from evolve.errors import EvolveError
from evolve.prompts import check_folder, shipped_names
from evolve.strategies.elimination import Elimination
from evolve.strategies.respond import BARE, Responder, load_response_template
from ray_jobs.config.identity import result_settings
from ray_jobs.config.pool_names import RESPOND, SCORE
from ray_jobs.config.run import PoolConfig, RespondConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.begun import as_begun
from ray_jobs.jobs.preflight import absolute, check_engine, check_sampling, check_scorer
from ray_jobs.jobs.score_pairs import as_records
from ray_jobs.jobs.thinking import told
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.plan import Fanout
from ray_jobs.pipeline.actors import AnswerJob, RespondActor, ScoreActor, ScoreJob
from ray_jobs.pipeline.branches import read_plan, union, unreadable_rows
from ray_jobs.pipeline.job import Pending, SeededJob
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.pipeline.scores import reward_model
from ray_jobs.storage.store import Store

TASKS = "tasks"
"""The one branch of the plan, in the place of an evolver."""


class AnswerTasksJob(SeededJob):
    """Every distinct instruction of a dataset becomes one record, of round 0, with a new answer. Raises ConfigError."""

    kind = "respond"

    def __init__(self, config: RespondConfig) -> None:
        config, self._begun = as_begun(config)
        super().__init__(config)
        self._config = config
        try:
            if config.templates is not None:
                check_folder(config.templates, shipped_names())
            self._template = load_response_template(config.responder.prompt, config.templates)
        except EvolveError as error:
            raise ConfigError(f"templates: {error}") from None
        check_engine("responder.engine", config.responder.engine)
        check_sampling("responder.sampling", config.responder.sampling, [config.responder.engine])
        check_scorer(config.scorer)

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Tell what is as it was when the output was begun, and how thoughts are read."""
        told(say, self._begun, self._config)

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, respond, score."""
        config = self._config
        rows = union(
            read_plan(store, name, blocks).map_batches(as_records, batch_format="pyarrow", batch_size=None)
            for name, blocks in pending.branches.items()
        )
        if rows:
            rows = through_pool(rows, RESPOND, RespondActor, self._answers(monitor), config.responder.pool)
        if rows and config.scorer:
            score = ScoreJob(SCORE, absolute(config.scorer), monitor)
            rows = through_pool(rows, SCORE, ScoreActor, score, config.scorer.pool)
        finished = union(item for item in (rows, unreadable_rows(store, pending)) if item)
        assert finished is not None, "a stream is asked for only while rows are pending"
        return finished

    def _answers(self, monitor: Monitor) -> AnswerJob:
        config = self._config
        rules = Elimination(**config.elimination.model_dump())
        responder = Responder(config.responder.sampling.build(), rules, self._template)
        return AnswerJob(responder, RESPOND, absolute(config.responder.engine), monitor, config.seed)

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

    def pools(self) -> dict[str, PoolConfig]:
        """The responder, and the scorer where there is one."""
        scorer = self._config.scorer
        return {RESPOND: self._config.responder.pool} | ({SCORE: scorer.pool} if scorer else {})

    def block_rows(self) -> dict[str, int]:
        """What the responder's pool is configured to."""
        return {TASKS: self._config.responder.pool.batch_rows}

    def pool_rows(self, pending: Pending) -> dict[str, int]:
        """All of them."""
        return dict.fromkeys(self.pools(), pending.rows().get(TASKS, 0))

    def labels(self, run_id: str) -> RunLabels:
        """Run, responder, scorer and reward model."""
        scorer = self._config.scorer
        models = {"scorer_model": scorer.model if scorer else None, "reward_model": reward_model(scorer)}
        constants = {"run_id": run_id, "strategy": None, "responder_model": self._config.responder.engine.model}
        return RunLabels(constants | models, {})

    def description(self) -> tuple[str, str]:
        """The responder."""
        return "Answered instructions", f"Instructions answered by `{self._config.responder.engine.model}`."
