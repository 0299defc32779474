"""Engines in one process: loaded when they are first asked, on cards one after the other."""

from __future__ import annotations

import asyncio
from typing import Any

from evolve.engine import Engine
from evolve.records import Instruction
from ray_jobs.config.engine_kinds import EngineKind
from ray_jobs.config.engines import build_responder
from ray_jobs.config.load import validated
from ray_jobs.errors import PoolError
from ray_jobs.jobs.preflight import check
from ray_jobs.service.asked_strategy import Asked
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engines import roster
from ray_jobs.service.local_engines import LocalEngines, on_cards
from ray_jobs.service.trying import Wish, trials
from tests.ray_jobs.service.warm import RAW

SEEDS = [Instruction(f"Name {number} rivers.", "") for number in range(4)]


def configured(**settings: Any) -> ServedRunConfig:
    return validated(ServedRunConfig, {**RAW, **settings}, "run.yaml")


def on_a_card(engine: dict[str, Any]) -> dict[str, Any]:
    # slow enough that all rows have begun before the first has ended
    return {"engine": {"kind": "scripted", "testing": {"decode_rate": 500}, **engine}, "pool": {"gpus": 1}}


CARDS = configured(
    evolvers={"small": on_a_card({}), "large": on_a_card({"model": "large"})},
    responder=on_a_card({}),
    scorer={"kind": "scripted", "pool": {"gpus": 1}},
)


async def try_all(config: ServedRunConfig, engines: LocalEngines) -> list[dict[str, Any]]:
    """The results of all seeds, side by side."""
    checked = check(config)
    asked = Asked(checked.strategy, build_responder(config, checked.response))
    evolvers = list(engines.roster.evolvers().values())

    async def one(task: Instruction) -> list[dict[str, Any]]:
        wish = Wish(asked, task, evolvers, respond=True, score=True)
        return [told async for kind, told in trials(engines, wish) if kind == "result"]

    return [result for results in await asyncio.gather(*map(one, SEEDS)) for result in results]


def test_each_is_loaded_once_and_those_on_cards_one_after_the_other() -> None:
    for config in (configured(), CARDS):
        loaded = list[str]()
        engines = LocalEngines(roster(config), loading=loaded.append)
        found = asyncio.run(try_all(config, engines))
        assert [result["outcome"] for result in found] == ["kept"] * 8
        assert all(result["scores"] for result in found)
        assert sorted(loaded) == ["evolve_large", "evolve_small", "respond", "score"]
        assert on_cards(engines.roster) is (config is CARDS)


def test_those_on_cards_never_hold_them_together() -> None:
    engines = LocalEngines(roster(CARDS))

    async def watched() -> set[frozenset[str]]:
        work, seen = asyncio.create_task(try_all(CARDS, engines)), set[frozenset[str]]()
        while not work.done():
            seen.add(frozenset(engines.held()))
            await asyncio.sleep(0)
        await work
        return seen

    assert max(map(len, asyncio.run(watched()))) == 1


class Broken(EngineKind):
    """An engine whose model is damaged."""

    kind: str
    model: str = "broken"

    def build(self) -> Engine:
        raise RuntimeError("the weights are damaged")


def test_a_model_that_cannot_be_loaded_is_tried_once() -> None:
    config = configured(evolvers={"small": {"engine": {"kind": f"{__name__}:Broken"}}})
    loaded = list[str]()
    engines = LocalEngines(roster(config), loading=loaded.append)
    found = asyncio.run(try_all(config, engines))
    assert [result["outcome"] for result in found] == ["failed"] * len(SEEDS)
    assert loaded == ["evolve_small"]
    assert isinstance(engines.failed, PoolError)
    assert "evolve_small: its model cannot be loaded: RuntimeError: the weights are damaged" in str(engines.failed)
