"""The pipeline, left to right: plan, evolve, respond, score, write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evolve.flow import Strategy
from evolve.prompts import Template
from evolve.strategies.method import Method
from evolve.strategies.respond import BARE
from ray_jobs.config.engines import build_responder
from ray_jobs.config.identity import fingerprint, result_settings
from ray_jobs.config.run import PoolResponderConfig, RunConfig
from ray_jobs.jobs.earlier_defaults import as_begun
from ray_jobs.jobs.evolving import evolving, responder_label
from ray_jobs.jobs.methods import held_out
from ray_jobs.jobs.preflight import check, check_models
from ray_jobs.jobs.stages import responding, scoring
from ray_jobs.jobs.thinking import told
from ray_jobs.jobs.through import through_service
from ray_jobs.output.card import shown_model
from ray_jobs.output.layout import RunLabels
from ray_jobs.output.plan import Fanout
from ray_jobs.pipeline.actors import EvolveTask, RespondTask
from ray_jobs.pipeline.job import SeededJob
from ray_jobs.pipeline.stage import Pipeline


class SynthesisJob(SeededJob):
    """Seeds are evolved by every evolver, or split among them, answered and scored. Raises ConfigError."""

    kind = "synthesis"

    def __init__(self, run: RunConfig) -> None:
        run, self.set_back = as_begun(run)
        super().__init__(run)
        self._run = run
        checked = check(run)
        self._strategy, self._response, self._method = checked.strategy, checked.response, checked.method
        check_models(self.pipeline.stages)

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Tell what is as it was when the output was begun, and how thoughts are read."""
        told(say, self.set_back, self._run)

    @property
    def pipeline(self) -> Pipeline:
        """Plan, evolve, respond, score: each evolver on its own part of the plan, in its own pool or a shared one."""
        run, own = self._run, None
        choice = run.responder.choice
        responder = build_responder(run, self._response)
        respond = RespondTask(responder, run.seed, choice, run.strategy.answer_kept())
        if isinstance(run.responder, PoolResponderConfig):
            responders = [responding(run.responder, respond)]
        else:
            responders, own = [], respond
        evolve = EvolveTask(
            self._strategy, run.seed, run.keep_rounds, own, run.confidence_share, keep_thoughts=run.keep_thoughts
        )
        stages = (*evolving(run, evolve), *responders, *scoring(run.scorer, choice))
        return Pipeline(tuple(run.evolvers), tuple(through_service(stages, run.through)))

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

    @property
    def strategy(self) -> str:
        """The strategy's kind."""
        return self._run.strategy.kind

    def evolver_models(self) -> dict[str, str]:
        """As configured."""
        return {name: evolver.engine.label for name, evolver in self._run.evolvers.items()}

    def labels(self, run_id: str) -> RunLabels:
        """Where evolvers answer themselves, their models are the responders'."""
        labels = super().labels(run_id)
        if isinstance(self._run.responder, PoolResponderConfig):
            return labels
        constants = {column: value for column, value in labels.constants.items() if column != "responder_model"}
        if label := responder_label(self._run):
            constants["responder_model"] = label
        return RunLabels(constants, labels.evolver_models)

    def description(self) -> tuple[str, str]:
        """Strategy, rounds and models."""
        run = self._run
        responder = "each evolver itself"
        if isinstance(run.responder, PoolResponderConfig):
            responder = f"`{shown_model(run.responder.engine.label)}`"
        evolvers = ", ".join(
            f"`{name}` (`{shown_model(evolver.engine.label)}`)" for name, evolver in run.evolvers.items()
        )
        scorer = f"`{shown_model(run.scorer.model)}`" if run.scorer else "nothing"
        return (
            "Evolved instructions",
            f"Instructions evolved by `{run.strategy.kind}` over {run.strategy.rounds} round(s).\n"
            f"Evolvers: {evolvers}. Answered by {responder}. Scored (IFD, IC-IFD) by {scorer}.",
        )


def weights(run: RunConfig) -> dict[str, Any]:
    """The evolvers' weights, which change results where seeds are split by them."""
    split = run.sharing == "split"
    return {f"evolvers.{name}.weight": float(evolver.weight) for name, evolver in run.evolvers.items() if split}


def synthesis_settings(
    run: RunConfig, strategy: Strategy, method: Method | None = None, response: Template = BARE
) -> dict[str, Any]:
    """The settings that change results. The fingerprint stands for templates, wherever they lie.

    So do a saved method's own fingerprint and its dev rows for its file, and the digest of a response template that is
    more than the bare task.
    """
    settings = result_settings(run) | weights(run) | {"strategy.fingerprint": strategy.fingerprint()}
    if method:
        settings["strategy.method"] = method.fingerprint
        settings["strategy.method.tuned_on.dev_ids"] = fingerprint({"ids": sorted(method.tuned_on.dev_ids)})
    if response.digest() != BARE.digest():
        settings["responder.template"] = response.digest()
    return settings
