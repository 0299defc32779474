"""The pipeline, left to right: plan, evolve, respond, score, write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.data import Dataset

from evolve.flow import Strategy
from evolve.prompts import Template
from evolve.strategies.method import Method
from evolve.strategies.respond import BARE
from ray_jobs.config.identity import fingerprint, result_settings
from ray_jobs.config.pool_names import RESPOND, SCORE, pool_name
from ray_jobs.config.run import PoolConfig, PoolResponderConfig, RunConfig, ScorerConfig
from ray_jobs.jobs.begun import as_begun
from ray_jobs.jobs.methods import held_out
from ray_jobs.jobs.preflight import absolute, check
from ray_jobs.jobs.thinking import told
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.plan import Fanout
from ray_jobs.pipeline.actors import EvolveActor, PoolJob, RespondActor, ScoreActor, ScoreJob
from ray_jobs.pipeline.branches import read_plan, union, unreadable_rows
from ray_jobs.pipeline.job import Pending, SeededJob
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.pipeline.scores import reward_model
from ray_jobs.storage.store import Store


class SynthesisJob(SeededJob):
    """Seeds are evolved by every evolver, or split among them, answered and scored. Raises ConfigError."""

    kind = "synthesis"

    def __init__(self, run: RunConfig) -> None:
        run, self._begun = as_begun(run)
        super().__init__(run)
        self._run = run
        checked = check(run)
        self._strategy, self._response, self._method = checked.strategy, checked.response, checked.method

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Tell what is as it was when the output was begun, and how thoughts are read."""
        told(say, self._begun, self._run)

    def stream(self, store: Store, pending: Pending, monitor: Monitor) -> Dataset:
        """Plan, evolve, respond, score.

        Each evolver's pool reads its own part of the plan, so that all of them run side by side and no row travels
        through a pool that is not its own.
        """
        run = self._run
        rows = union(
            through_pool(
                read_plan(store, name, blocks),
                pool_name(name),
                EvolveActor,
                self.evolver_job(name, monitor),
                run.evolvers[name].pool,
            )
            for name, blocks in pending.branches.items()
        )
        if rows and isinstance(run.responder, PoolResponderConfig):
            respond = self.responder_job(run.responder, monitor)
            rows = through_pool(rows, RESPOND, RespondActor, respond, run.responder.pool)
        if rows and run.scorer:
            rows = through_pool(rows, SCORE, ScoreActor, self.scorer_job(run.scorer, monitor), run.scorer.pool)
        finished = union(item for item in (rows, unreadable_rows(store, pending)) if item)
        assert finished is not None, "a stream is asked for only while rows are pending"
        return finished

    def evolver_job(self, name: str, monitor: Monitor) -> PoolJob:
        """What an actor of this evolver's pool is built with."""
        engine = absolute(self._run.evolvers[name].engine)
        return PoolJob(self._run, self._strategy, pool_name(name), engine, monitor, self._response)

    def responder_job(self, responder: PoolResponderConfig, monitor: Monitor) -> PoolJob:
        """What an actor of the responder's pool is built with."""
        return PoolJob(self._run, self._strategy, RESPOND, absolute(responder.engine), monitor, self._response)

    def scorer_job(self, scorer: ScorerConfig, monitor: Monitor) -> ScoreJob:
        """What an actor of the scorer's pool is built with."""
        return ScoreJob(SCORE, absolute(scorer), monitor)

    @property
    def records_per_row(self) -> int:
        """One a round, or the last alone."""
        return self._run.strategy.rounds if self._run.keep_rounds == "all" else 1

    def settings(self) -> dict[str, Any]:
        """Those of the configuration, and the strategy's fingerprint."""
        return synthesis_settings(self._run, self._strategy, self._method, self._response)

    def fanout(self) -> Fanout:
        """Every seed through each evolver, or split by weight; the dev rows of a saved method through none."""
        run = self._run
        weights = {name: evolver.weight for name, evolver in run.evolvers.items()}
        return Fanout(
            evolvers=weights,
            split=run.sharing == "split",
            samples=run.samples,
            strategy_fingerprint=self._strategy.fingerprint(),
            run_seed=run.seed,
            held_out=held_out(self._method),
        )

    def pools(self) -> dict[str, PoolConfig]:
        """The evolvers, the responder where it has a pool of its own, the scorer."""
        run = self._run
        pools = {pool_name(name): evolver.pool for name, evolver in run.evolvers.items()}
        if isinstance(run.responder, PoolResponderConfig):
            pools[RESPOND] = run.responder.pool
        if run.scorer:
            pools[SCORE] = run.scorer.pool
        return pools

    def block_rows(self) -> dict[str, int]:
        """What each evolver's pool is configured to."""
        return {name: evolver.pool.batch_rows for name, evolver in self._run.evolvers.items()}

    def pool_rows(self, pending: Pending) -> dict[str, int]:
        """An evolver's own rows; all of them for the pools behind."""
        rows = pending.rows()
        own = {pool_name(name): count for name, count in rows.items()}
        return {
            name: own.get(name, 0 if name in map(pool_name, self._run.evolvers) else sum(rows.values()))
            for name in self.pools()
        }

    def labels(self, run_id: str) -> RunLabels:
        """Run, strategy, responder, scorer, and the model of each evolver."""
        run = self._run
        constants: dict[str, str | None] = {"run_id": run_id, "strategy": run.strategy.kind}
        constants["scorer_model"] = run.scorer.model if run.scorer else None
        constants["reward_model"] = reward_model(run.scorer)
        if isinstance(run.responder, PoolResponderConfig):
            constants["responder_model"] = run.responder.engine.model
        return RunLabels(constants, {name: evolver.engine.model for name, evolver in run.evolvers.items()})

    def description(self) -> tuple[str, str]:
        """Strategy, rounds and models."""
        run = self._run
        responder = "each evolver itself"
        if isinstance(run.responder, PoolResponderConfig):
            responder = f"`{run.responder.engine.model}`"
        evolvers = ", ".join(f"`{name}` (`{evolver.engine.model}`)" for name, evolver in run.evolvers.items())
        scorer = f"`{run.scorer.model}`" if run.scorer else "nothing"
        return (
            "Evolved instructions",
            f"Instructions evolved by `{run.strategy.kind}` over {run.strategy.rounds} round(s).\n"
            f"Evolvers: {evolvers}. Answered by {responder}. Scored (IFD, IC-IFD) by {scorer}.",
        )


def synthesis_settings(
    run: RunConfig, strategy: Strategy, method: Method | None = None, response: Template = BARE
) -> dict[str, Any]:
    """The settings that change results. The fingerprint stands for templates, wherever they lie.

    So do a saved method's own fingerprint and its dev rows for its file, and the digest of a response template that is
    more than the bare task.
    """
    settings = result_settings(run, run.sharing == "split") | {"strategy.fingerprint": strategy.fingerprint()}
    if method:
        settings["strategy.method"] = method.fingerprint
        settings["strategy.method.tuned_on.dev_ids"] = fingerprint({"ids": sorted(method.tuned_on.dev_ids)})
    if response.digest() != BARE.digest():
        settings["responder.template"] = response.digest()
    return settings
