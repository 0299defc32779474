"""AutoIF, phase by phase: each a job with an output of its own, planned from what the one before has kept.

constraints ──► OUTPUT/augment ──────► OUTPUT/instructions ───────► OUTPUT
                new instructions       functions, cases, NLI        responses, quality, pairs
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ray.data import Dataset

from ray_jobs import manifest
from ray_jobs.actors import ScoreActor, ScoreJob
from ray_jobs.autoif import funnel
from ray_jobs.autoif.actors import AnswerActor, AugmentActor, ExamineActor, NliActor, QualityActor, StepJob
from ray_jobs.autoif.classifier import ClassifierActor, ClassifierJob
from ray_jobs.autoif.config import AutoIFConfig, ClassifierConfig, ModelConfig
from ray_jobs.autoif.planning import Planner
from ray_jobs.autoif.preparation import Prepared, guards, prepare
from ray_jobs.board import Board
from ray_jobs.branches import read_plan, union, unreadable_rows
from ray_jobs.config import PoolConfig
from ray_jobs.job import Job, Pending
from ray_jobs.layout import RunLabels
from ray_jobs.manifest import Manifest
from ray_jobs.plan import PlanIndex
from ray_jobs.pools import RESPOND, SCORE, pool_name, through_pool
from ray_jobs.preflight import absolute
from ray_jobs.report import REPORT, SUCCESS, read_json
from ray_jobs.settings import fingerprint
from ray_jobs.storage import Store, open_store

AUGMENT, INSTRUCTIONS, RESPONSES = "augment", "instructions", "responses"
"""The phases. The first two have folders of these names in the output; the last one's is the output itself."""
NLI, QUALITY = "nli", "quality"


def autoif_jobs(run: AutoIFConfig) -> list[Job]:
    """The phases of a run, in order: each is to be finished before the next is planned. Raises ConfigError."""
    prepared = prepare(run)
    return [AugmentPhase(prepared), InstructionPhase(prepared), AnswerPhase(prepared)]


class Phase(Job):
    """What the phases share."""

    folder: ClassVar[str] = ""

    def __init__(self, prepared: Prepared) -> None:
        output = f"{prepared.run.output.rstrip('/')}/{self.folder}" if self.folder else prepared.run.output
        super().__init__(prepared.run.model_copy(update={"output": output}))
        self._run, self._prepared = prepared.run, prepared

    @property
    def records_per_row(self) -> int:
        """One, but for the phase that answers."""
        return 1

    def plan(self, store: Store, before_writing: Callable[[], None]) -> PlanIndex:
        """Plan what the phase before has kept and this plan does not hold."""
        return self.plan_with(Planner(store, fingerprint(self.settings()), before_writing))

    @abstractmethod
    def plan_with(self, planner: Planner) -> PlanIndex:
        """The phase's own plan."""

    def pools(self) -> dict[str, PoolConfig]:
        """The evolvers."""
        return {pool_name(name): evolver.pool for name, evolver in self._run.evolvers.items()}

    def block_rows(self) -> dict[str, int]:
        """What each evolver's pool is configured to."""
        return {name: evolver.pool.batch_rows for name, evolver in self._run.evolvers.items()}

    def pool_rows(self, pending: Pending) -> dict[str, int]:
        """An evolver's own rows; all of them for the pools behind."""
        rows = pending.rows()
        own = {pool_name(name): rows.get(name, 0) for name in self._run.evolvers}
        return {name: own.get(name, sum(rows.values())) for name in self.pools()}

    def labels(self, run_id: str) -> RunLabels:
        """Run, strategy, and the model of each evolver."""
        constants: dict[str, str | None] = {"run_id": run_id, "strategy": "autoif"}
        constants |= {"responder_model": None, "scorer_model": None, "reward_model": None}
        return RunLabels(constants, {name: one.engine.model for name, one in self._run.evolvers.items()})

    def _through(self, rows: Dataset, name: str, actor: type[Any], model: ModelConfig, board: Board) -> Dataset:
        job = StepJob(name, absolute(model.engine), board, self._prepared.kit)
        return through_pool(rows, name, actor, job, model.pool)

    def _evolved(self, store: Store, pending: Pending, actor: type[Any], board: Board) -> Dataset:
        rows = union(
            self._through(read_plan(store, name, blocks), pool_name(name), actor, self._run.evolvers[name], board)
            for name, blocks in pending.branches.items()
        )
        assert rows is not None, "a stream is asked for only while rows are pending"
        return rows

    def _store(self, folder: str) -> Store:
        return open_store(self._run.output, self._run.storage).below(folder)


class AugmentPhase(Phase):
    """Every evolver is asked for new instructions, again and again."""

    kind = "autoif_augment"
    folder = AUGMENT

    def settings(self) -> dict[str, Any]:
        """Those of the calls."""
        return self._prepared.settings(1)

    def check_machine(self, say: Callable[[str], None]) -> None:
        """Try the sandbox here, before any model is loaded; the actors that use one do so on their machines."""
        say(f"sandbox: {guards(self._prepared.kit)}")

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row a call."""
        return planner.calls(self._prepared.constraints, list(self._run.evolvers), self._prepared.rules.augment_calls)

    def stream(self, store: Store, pending: Pending, board: Board) -> Dataset:
        """Plan, ask."""
        return self._evolved(store, pending, AugmentActor, board)

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:
        """The funnel as far as it goes."""
        return {"funnel": funnel.as_plain(funnel.of_calls(store, found))}

    def description(self) -> tuple[str, str]:
        """What the records are."""
        return "New instructions", "One record a call: the instructions that a model thought of, one a line."


class InstructionPhase(Phase):
    """Every instruction gets functions, which must agree with each other and with what they are described as."""

    kind = "autoif_instructions"
    folder = INSTRUCTIONS

    def settings(self) -> dict[str, Any]:
        """Those of the first two phases."""
        return self._prepared.settings(2)

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row an instruction and evolver."""
        prepared, source = self._prepared, self._store(AUGMENT)
        return planner.instructions(
            source, prepared.constraints, list(self._run.evolvers), self._run.strategy.near_duplicate
        )

    def pools(self) -> dict[str, PoolConfig]:
        """The evolvers, and what labels back-translations."""
        model = self._run.nli if isinstance(self._run.nli, ClassifierConfig) else self._run.judge
        return super().pools() | ({NLI: model.pool} if model and self._prepared.rules.nli else {})

    def stream(self, store: Store, pending: Pending, board: Board) -> Dataset:
        """Plan, examine, compare."""
        rows = self._evolved(store, pending, ExamineActor, board)
        if not self._prepared.rules.nli:
            return rows
        if isinstance(self._run.nli, ClassifierConfig):
            job = ClassifierJob(NLI, absolute(self._run.nli), board)
            return through_pool(rows, NLI, ClassifierActor, job, self._run.nli.pool)
        assert self._run.judge is not None, "the configuration says so"
        return self._through(rows, NLI, NliActor, self._run.judge, board)

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:
        """The funnel as far as it goes."""
        return {"funnel": _funnel(self._store(AUGMENT)) + funnel.as_plain(funnel.of_instructions(store, found))}

    def description(self) -> tuple[str, str]:
        """What the records are."""
        return "Verifiable instructions", "One record an instruction that code can check; `output` holds its functions."


class AnswerPhase(Phase):
    """Instructions meet queries; responses that pass become records, and pairs with those that do not."""

    kind = "autoif"

    @property
    def records_per_row(self) -> int:
        """One a response."""
        return self._prepared.rules.responses

    def settings(self) -> dict[str, Any]:
        """Those of all phases."""
        return self._prepared.settings(3)

    def plan_with(self, planner: Planner) -> PlanIndex:
        """One row an instruction and query."""
        source, queries = self._store(INSTRUCTIONS), self.seed_source()
        return planner.answers(source, queries, self._prepared.rules, self._run.seed)

    def pools(self) -> dict[str, PoolConfig]:
        """The responder; the judge and the scorer where there is one."""
        run, pools = self._run, {RESPOND: self._run.responder.pool}
        if self._prepared.rules.quality and run.judge:
            pools[QUALITY] = run.judge.pool
        if run.scorer:
            pools[SCORE] = run.scorer.pool
        return pools

    def block_rows(self) -> dict[str, int]:
        """What the responder's pool is configured to, whoever made the instructions."""
        return dict.fromkeys(self._run.evolvers, self._run.responder.pool.batch_rows)

    def stream(self, store: Store, pending: Pending, board: Board) -> Dataset:
        """Plan, respond and verify, judge, score."""
        run = self._run
        rows = union(read_plan(store, name, blocks) for name, blocks in pending.branches.items())
        if rows:
            rows = self._through(rows, RESPOND, AnswerActor, run.responder, board)
        if rows and self._prepared.rules.quality and run.judge:
            rows = self._through(rows, QUALITY, QualityActor, run.judge, board)
        if rows and run.scorer:
            rows = through_pool(rows, SCORE, ScoreActor, ScoreJob(SCORE, absolute(run.scorer), board), run.scorer.pool)
        finished = union(one for one in (rows, unreadable_rows(store, pending)) if one)
        assert finished is not None, "a stream is asked for only while rows are pending"
        return finished

    def labels(self, run_id: str) -> RunLabels:
        """Also responder and scorer."""
        labels, scorer = super().labels(run_id), self._run.scorer
        models = {"responder_model": self._run.responder.engine.model, "scorer_model": scorer.model if scorer else None}
        return RunLabels({**labels.constants, **models}, labels.evolver_models)

    def summary(self, store: Store, found: Manifest) -> dict[str, Any]:  # noqa: ARG002
        """The whole funnel."""
        return {"funnel": _funnel(self._store(INSTRUCTIONS)) + funnel.as_plain(funnel.of_answers(found.tally()))}

    def description(self) -> tuple[str, str]:
        """Evolvers and responder."""
        evolvers = ", ".join(f"`{name}` (`{one.engine.model}`)" for name, one in self._run.evolvers.items())
        return (
            "Instructions that code can check, with responses",
            f"Made by AutoIF with the constants `{self._run.strategy.preset}`. Instructions by {evolvers}. "
            f"Answered by `{self._run.responder.engine.model}`.",
        )


def autoif_stores(store: Store) -> dict[str, Store]:
    """The outputs of the phases of a run in `store`, in order, whether they have begun or not."""
    return {AUGMENT: store.below(AUGMENT), INSTRUCTIONS: store.below(INSTRUCTIONS), RESPONSES: store}


def funnel_so_far(stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    """The funnel of a run by `autoif_stores`: of finished phases, and of the responses as far as they are committed."""
    finished = [name for name in (INSTRUCTIONS, AUGMENT) if name in stores and stores[name].exists(SUCCESS)]
    steps = _funnel(stores[finished[0]]) if finished else []
    if RESPONSES in stores:
        steps += funnel.as_plain(funnel.of_answers(manifest.load(stores[RESPONSES]).tally()))
    return steps


def _funnel(store: Store) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = read_json(store, REPORT)["funnel"]
    return steps
