"""How fast an engine is, from the calls of a sample: hand-made and simulated ones."""

from __future__ import annotations

import asyncio
import heapq
import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest

from evolve.current_row import ROW
from evolve.engines.recording_engine import Call, RecordingEngine
from evolve.records import Prompt, Sampling
from evolve.testing.scripted_engine import Script, ScriptedEngine
from ray_jobs.config.engine_kinds import OpenAIConfig, ScriptedConfig, VllmConfig
from ray_jobs.config.pools import PoolConfig
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.rates import VLLM_MAX_CONCURRENCY, held_places, max_concurrency, read_rates, steady_rate


def test_what_a_full_engine_does_counts_and_how_it_runs_dry_does_not() -> None:
    # two at once, ten tokens a second each; in the end a long one alone
    calls = [Call("", second, second + 1, 4, 6) for second in (0, 0, 1, 1, 2, 2, 3)]
    calls.append(Call("", 3, 7, 16, 24))
    rate, full = steady_rate(calls, 2)
    assert rate == pytest.approx(20)
    assert full


def test_an_engine_that_is_not_kept_full_is_as_fast_as_it_was_in_company() -> None:
    # two at once for one second in every two, ten tokens a second each; nothing runs in between
    calls = [Call("", second, second + 1, 4, 6) for second in (0, 0, 2, 2, 4, 4, 6, 6)]
    rate, full = steady_rate(calls, 2)
    assert rate == pytest.approx(80 / 7)
    assert full


def test_a_call_holds_a_place_from_when_one_is_free() -> None:
    # four are asked for at once, and two run at once; the fifth comes when there is room
    calls = [Call("", began, ended, 0, 1) for began, ended in ((0, 1), (0, 2), (0, 3), (0, 5), (9, 10))]
    assert held_places(calls, 2) == [(0, 1), (0, 2), (1, 3), (2, 5), (9, 10)]


def test_a_sample_too_small_to_fill_an_engine_gives_a_lower_bound() -> None:
    calls = [Call("", 0, 2, 5, 5), Call("", 0, 4, 5, 5)]
    assert steady_rate(calls, 8) == (pytest.approx(20 / 4), False)


def simulated(offered: int) -> list[Call]:
    """Two hundred calls of an engine with 16 slots that writes 200 tokens a second in each; `offered` wait or run."""
    draw, free, ends, calls = Random(0), [0.0] * 16, list[float](), list[Call]()
    for number in range(200):
        tokens = max(1, round(draw.lognormvariate(math.log(40), 0.5)))
        began = 0.0 if number < offered else sorted(ends)[number - offered]
        ends.append(max(began, heapq.heappop(free)) + tokens / 200)
        heapq.heappush(free, ends[-1])
        calls.append(Call(f"row{number}", began, ends[-1], 10, tokens))
    return sorted(calls, key=lambda call: call.ended)


@pytest.mark.parametrize("offered", [64, 16])
def test_the_speed_of_an_engine_is_what_its_slots_do(offered: int) -> None:
    calls = simulated(offered)
    rate, full = steady_rate(calls, 16)
    # ten tokens are read for each call beside those that take time
    written = sum(call.completion_tokens for call in calls)
    assert full
    assert rate == pytest.approx(16 * 200 * (written + 2000) / written, rel=0.001)


def test_a_recorded_call_knows_its_row_and_tokens() -> None:
    engine = RecordingEngine(ScriptedEngine(Script(median_tokens=7)))

    async def row(number: int) -> None:
        ROW.set(f"row{number}")
        await engine.generate(Prompt.user("x" * 40, Sampling(), number))

    async def work() -> None:
        await asyncio.gather(*map(row, range(20)))

    asyncio.run(work())
    assert {call.row for call in engine.calls} == {f"row{number}" for number in range(20)}
    assert {(call.prompt_tokens, call.completion_tokens) for call in engine.calls} == {(10, 7)}


POOL = PoolConfig(batch_rows=64, batches_in_flight=4)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (ScriptedConfig(kind="scripted", slots=24), 24),
        (ScriptedConfig(kind="scripted", slots=1000), 256),
        (VllmConfig(model="m", arguments={"max_num_seqs": 16}), 16),
        (VllmConfig(model="m"), VLLM_MAX_CONCURRENCY),
        (OpenAIConfig(kind="openai", model="m", url="http://127.0.0.1:1/v1"), 256),
    ],
)
def test_an_engine_takes_what_it_is_configured_to_and_its_pool_offers(engine: Any, expected: int) -> None:
    assert max_concurrency(engine, POOL) == expected


def test_stated_rates_are_read_from_yaml_and_from_an_earlier_forecast(tmp_path: Path) -> None:
    item = {"tokens_per_second": 100, "prompt_tokens": 30, "completion_tokens": 20}
    (tmp_path / "rates.yaml").write_text(json.dumps({"pools": {"evolve_a": item}}))
    (tmp_path / "plan.json").write_text(json.dumps({"notes": [], "rates": {"pools": {"evolve_a": item}}}))
    for name in ("rates.yaml", "plan.json"):
        assert read_rates(tmp_path / name, ["evolve_a"]).pools["evolve_a"].seconds_per_row == 0.5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "expected a mapping with `pools`, got list"),
        ("pools: {}", "pools.evolve_a: is missing (it has none)"),
        ("pools: {evolve_a: {tokens_per_second: 0, prompt_tokens: 1, completion_tokens: 1}}", "greater than 0"),
        ("pools: {evolve_a: {tokens_second: 5}}", "unknown field"),
        ("pools: [", "cannot be read as YAML or JSON"),
    ],
)
def test_wrong_rates_are_told(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "rates.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_rates(tmp_path / "rates.yaml", ["evolve_a"])
    assert problem in str(raised.value)
    assert str(tmp_path / "rates.yaml") in str(raised.value)
