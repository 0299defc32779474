"""Trials: one seed through evolvers that are loaded, as a row of a run would go, told as it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.records import Instruction
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import JobError
from ray_jobs.output.plan import Fanout
from ray_jobs.output.rounds import RoundRow, kept
from ray_jobs.output.schema import FAILED, KEPT
from ray_jobs.seeds.read import seed_id
from ray_jobs.service.answers import told_body
from ray_jobs.service.asked_strategy import Asked
from ray_jobs.service.engines import Engines, Served
from ray_jobs.service.hearing import End, heard
from ray_jobs.service.work import Question, Trial, Trouble

Told = dict[str, Any]
Tell = Callable[[str, Told], None]


@dataclass(frozen=True)
class Wish:
    """A seed, what it is to go through, and what is asked for besides its rounds. `seed` is that of a run.

    `index` is the seed's place among those of a run, which decides which operator is the first.
    """

    asked: Asked
    task: Instruction
    evolvers: Sequence[Served]
    seed: int = 0
    index: int = 0
    respond: bool = False
    score: bool = False


async def trials(engines: Engines, wish: Wish) -> AsyncIterator[tuple[str, Told]]:
    """What happens to the seed: (`round`, ...) as each ends, and (`result`, ...) for each evolver.

    Where an engine fails, (`error`, ...) comes before its result. Ends all work when nobody listens any more.
    """

    async def all_of_them(hear: Callable[[tuple[str, Told]], None]) -> None:
        def tell(kind: str, told: Told) -> None:
            hear((kind, told))

        await asyncio.gather(*(_trial(engines, wish, evolver, tell) for evolver in wish.evolvers))

    async for item in heard(all_of_them):
        if not isinstance(item, End):
            yield item


def planned_row(wish: Wish, evolver: str) -> dict[str, Any]:
    """The row that a run would plan for the seed, with the same id, from which its random numbers come."""
    seed = seed_id(wish.task.instruction, wish.task.input)
    fanout = Fanout({}, split=False, samples=1, strategy_fingerprint=wish.asked.strategy.fingerprint(), run_seed=0)
    return {
        "row_id": fanout.row_id(seed, evolver, 0),
        "seed_index": wish.index,
        "seed_instruction": wish.task.instruction,
        "input": wish.task.input,
    }


async def _trial(engines: Engines, wish: Wish, evolver: Served, tell: Tell) -> None:
    began, rounds = time.monotonic(), list[RoundRow]()
    last: RoundRow = {"round": 0}
    scores, trouble = None, None
    row = planned_row(wish, evolver.name)
    try:
        await _rounds(engines, wish, evolver, row, rounds, tell)
        last = kept(rounds)[-1] if kept(rounds) else rounds[-1]
        if wish.respond and last["status"] == KEPT:
            last = await answered(engines, wish.asked, evolver, row, last, wish.seed)
        if wish.score and last["status"] == KEPT:
            scores = await _scored(engines, row, last)
    except JobError as error:
        trouble = str(error)
        tell("error", {**told_body(error), "evolver": evolver.name})
    tell(
        "result",
        {
            "evolver": evolver.name,
            "outcome": FAILED if trouble else last["status"],
            "reason": trouble or last.get("reason"),
            "rounds": [_told(item) for item in rounds],
            "instruction": last.get("instruction", wish.task.instruction),
            "response": last.get("output"),
            "reasoning": last.get("reasoning"),
            "scores": scores,
            "tokens": _tokens([last if item["round"] == last["round"] else item for item in rounds]),
            "seconds": round(time.monotonic() - began, 3),
        },
    )


async def _rounds(
    engines: Engines, wish: Wish, evolver: Served, row: dict[str, Any], rounds: list[RoundRow], tell: Tell
) -> None:
    """Add to `rounds` as they end. Raises what a Trouble says."""
    figures = engines.figures[evolver.loaded]
    trial = Trial(wish.asked.strategy, row, wish.seed, evolver.adapter)
    with figures.one():
        async for item in engines.trial(evolver.loaded, trial):
            if isinstance(item, Trouble):
                raise item.error()
            rounds.append(item)
            figures.wrote(item["completion_tokens"])
            tell("round", {"evolver": evolver.name, **_told(item)})


async def answered(
    engines: Engines, asked: Asked, evolver: Served, row: dict[str, Any], round_row: RoundRow, seed: int
) -> RoundRow:
    """A round with its answer, by the responder or, where there is none, the evolver. Raises what a Trouble says."""
    served = engines.roster.of_role("responder") or evolver
    adapter = None if served.role == "responder" else evolver.adapter
    own = engines.roster.responder_adapter
    question = Question(asked.responder, row, round_row, seed, adapter if own is None else own)
    figures = engines.figures[served.loaded]
    with figures.one():
        found = await engines.answer(served.loaded, question)
    if isinstance(found, Trouble):
        raise found.error()
    figures.wrote(found["completion_tokens"] - round_row["completion_tokens"])
    return found


async def _scored(engines: Engines, row: Mapping[str, Any], last: RoundRow) -> dict[str, Any] | None:
    scorer = engines.roster.of_role("scorer")
    assert scorer is not None, "the route has looked"
    pair = {name: last.get(name) for name in ("instruction", "output", "reasoning")} | {"input": row["input"]}
    with engines.figures[scorer.loaded].one():
        return (await engines.score(scorer.loaded, [pair]))[0]


def _tokens(rounds: Sequence[RoundRow]) -> dict[str, int]:
    return {name: sum(item[f"{name}_tokens"] for item in rounds) for name in ("prompt", "completion")}


def _told(item: RoundRow) -> Told:
    return {
        "round": item["round"],
        "operator": item.get("operator"),
        "instruction": item.get("instruction", ""),
        "outcome": item["status"],
        "reason": item.get("reason"),
        "error": item.get("error"),
    }


def responding_evolver(config: RunConfig, engines: Engines) -> Served:
    """The evolver that answers where there is no responder: the first."""
    return engines.roster.evolvers()[next(iter(config.evolvers))]
