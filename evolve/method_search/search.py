"""The search loop: evolve a mini-batch, let the optimiser propose candidates, try each on the dev rows, keep the best.

Candidates and dev rows run side by side, so that the engines stay full. All randomness derives from the seed, the
step, the candidate and the row, so a search that goes on after a kill ends like one that ran through.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from evolve.described import plain
from evolve.errors import SearchError
from evolve.flow import drive
from evolve.method_search.config import Engines, SearchConfig
from evolve.method_search.failures import Score, best_candidate, failure_rule, score
from evolve.method_search.propose import Optimiser, Trajectory, trajectory
from evolve.method_search.state import Candidate, OptimiserState, StepLog, Stopped
from evolve.prompts import Template
from evolve.records import Evolved, Failed, Instruction, Response
from evolve.strategies.auto_evol import AutoEvol, load_method
from evolve.strategies.elimination import Elimination
from evolve.strategies.method import Method
from evolve.strategies.respond import Responder

Result = TypeVar("Result")


async def optimise(
    config: SearchConfig,
    pool: Sequence[Instruction],
    dev: Sequence[Instruction],
    engines: Engines,
    state: OptimiserState | None,
    on_step: Callable[[OptimiserState], None],
) -> OptimiserState:
    """Run the search to its end, from `state` where one is given, and return the state it ends with.

    `on_step` receives the state after each step, step 0 included, which measures the initial method: save it there.
    Raises SearchError where the rows are too few or `state` belongs to another search.
    """
    search = _Search(config, pool, dev, engines)
    if state is None:
        state = await search.begin()
        on_step(state)
    elif state.search != search.digest:
        raise SearchError(
            f"the saved state belongs to another search ({state.search}, this one is {search.digest}): "
            "its configuration, templates, models or rows differ"
        )
    while state.stopped is None:
        state = await search.step(state)
        on_step(state)
    return state


class _Search:
    def __init__(
        self, config: SearchConfig, pool: Sequence[Instruction], dev: Sequence[Instruction], engines: Engines
    ) -> None:
        if not dev:
            raise SearchError("the dev set: expected at least 1 row, got none")
        if len(pool) < config.minibatch:
            raise SearchError(f"the mini-batch: {config.minibatch} rows asked for, but there are only {len(pool)}")
        self._config, self._pool, self._dev, self._engines = config, pool, dev, engines
        self._initial = load_method(config.templates)
        self._optimiser = Optimiser.load(config.optimise, config.attempts, config.templates, config.forms)
        self._responder = Responder(config.respond, Elimination.none())
        self.digest = self._digest()

    async def begin(self) -> OptimiserState:
        """Measure the initial method."""
        config, measured = self._config, await self._measure(self._initial, "initial")
        method = Method(
            text=self._initial.text,
            fingerprint=self._initial.digest(),
            parent=None,
            step=0,
            failure_rates=(measured.rate,),
            tuned_on=config.tuned_on,
            models=config.models,
            created_at=config.created_at,
        )
        log = (StepLog(0, method.fingerprint, measured),)
        return OptimiserState(self.digest, method, log, self._stop(0, measured.rate))

    async def step(self, state: OptimiserState) -> OptimiserState:
        """One step: all candidates side by side, then the decision."""
        number, before = len(state.log), state.method
        trajectories = await self._trajectories(before.template(), number)
        work = (self._candidate(before, trajectories, number, item) for item in range(self._config.candidates))
        candidates = tuple(await _together(work))
        chosen = best_candidate(
            state.score.rate, (candidate.score.rate if candidate.score else None for candidate in candidates)
        )
        if chosen is None:
            log = StepLog(number, before.fingerprint, state.score, candidates)
            return replace(state, log=(*state.log, log), stopped=_why_nothing_chosen(candidates))
        method, measured = _next_method(before, candidates[chosen], number)
        log = StepLog(number, method.fingerprint, measured, candidates, chosen)
        return replace(state, method=method, log=(*state.log, log), stopped=self._stop(number, measured.rate))

    async def _candidate(self, method: Method, trajectories: Sequence[Trajectory], step: int, number: int) -> Candidate:
        flow = self._optimiser.propose(method.text, trajectories, self._rng(step, number, "propose"))
        proposal = await drive(flow, self._engines.optimiser)
        if proposal.text is None:
            return Candidate(number, proposal)
        template = Template("candidate", proposal.text)
        measured = await self._measure(template, f"{step} {number}")
        return Candidate(number, proposal, template.digest(), measured)

    async def _trajectories(self, method: Template, step: int) -> list[Trajectory]:
        batch = self._rng(step, "minibatch").sample(range(len(self._pool)), self._config.minibatch)
        strategy = self._strategy(self._config.rounds, method)

        async def evolve(row: int) -> Trajectory:
            seed = self._pool[row]
            flow = strategy.evolve(seed, row, self._rng(step, "trajectory", row))
            return trajectory(seed, await drive(flow, self._engines.evolver, confidence=False))

        return await _together(map(evolve, batch))

    async def _measure(self, method: Template, of: str) -> Score:
        """Evolve and answer every dev row. A row whose evolution or response did not come failed, by its reason."""
        strategy = self._strategy(1, method)

        async def verdict(row: int) -> str | None:
            seed, rng = self._dev[row], self._rng(of, "dev", row)
            [result] = await drive(strategy.evolve(seed, row, rng), self._engines.evolver, confidence=False)
            if not isinstance(result, Evolved):
                return result.error if isinstance(result, Failed) else result.reason
            task = replace(seed, instruction=result.instruction)
            answer = await drive(self._responder.answer(task, rng), self._engines.responder)
            if isinstance(answer, Response):
                return failure_rule(answer.text)
            return answer.error if isinstance(answer, Failed) else answer.reason

        return score(await _together(map(verdict, range(len(self._dev)))))

    def _strategy(self, rounds: int, method: Template) -> AutoEvol:
        config = self._config
        return AutoEvol(rounds, config.evolve, config.rules, config.templates, method, config.forms)

    def _stop(self, step: int, rate: float) -> Stopped | None:
        if rate == 0:
            return "nothing_failed"
        return "max_steps" if step >= self._config.steps else None

    def _rng(self, *of: object) -> Random:
        return Random(" ".join(map(str, (self._config.seed, *of))))

    def _digest(self) -> str:
        settings = plain(replace(self._config, created_at="", templates=None))
        prompts = (self._initial, self._optimiser.analyse, self._optimiser.rewrite)
        parts: list[str] = [repr(settings), self._strategy(1, self._initial).fingerprint()]
        parts += [prompt.digest() for prompt in prompts]
        parts += [repr(row) for row in (*self._pool, "dev", *self._dev)]
        return hashlib.blake2b("\n".join(parts).encode(errors="replace"), digest_size=8).hexdigest()


def _next_method(before: Method, winner: Candidate, step: int) -> tuple[Method, Score]:
    text, fingerprint, measured = winner.proposal.text, winner.fingerprint, winner.score
    assert text is not None
    assert fingerprint is not None
    assert measured is not None
    rates = (*before.failure_rates, measured.rate)
    method = replace(
        before, text=text, fingerprint=fingerprint, parent=before.fingerprint, step=step, failure_rates=rates
    )
    return method, measured


def _why_nothing_chosen(candidates: Sequence[Candidate]) -> Stopped:
    if any(candidate.score for candidate in candidates):
        return "rate_not_falling"
    if all(candidate.proposal.outcome == "no_failures" for candidate in candidates):
        return "no_failures_found"
    return "no_candidate"


async def _together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Run all at once. Where one breaks, the others are cancelled: nobody would wait for them."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
