"""How fast an engine is, from the calls of a sample: hand-made calls, and the scripted engine on the real clock."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from evolve.current_row import ROW
from evolve.recording_engine import Call, RecordingEngine
from evolve.records import Prompt, Sampling
from evolve.scripted_engine import Script, ScriptedEngine
from ray_jobs.config import OpenAIConfig, PoolConfig, ScriptedConfig, VllmConfig
from ray_jobs.errors import ConfigError
from ray_jobs.rates import VLLM_SLOTS, read_rates, slots, steady_rate


def test_what_a_full_engine_does_counts_and_how_it_runs_dry_does_not() -> None:
    # two at once, each one second and ten tokens; then one alone that takes ten seconds
    calls = [Call("", second, second + 1, 4, 6) for second in (0, 0, 1, 1, 2, 2, 3)]
    calls.append(Call("", 3, 13, 4, 6))
    rate, full = steady_rate(calls, 2)
    # seven are over after four seconds; the last one counts half
    assert rate == pytest.approx(75 / 4)
    assert full


def test_a_sample_too_small_to_fill_an_engine_gives_a_lower_bound() -> None:
    calls = [Call("", 0, 2, 5, 5), Call("", 0, 4, 5, 5)]
    assert steady_rate(calls, 8) == (pytest.approx(20 / 4), False)


@pytest.mark.parametrize("offered", [64, 16])
def test_the_speed_of_a_scripted_engine_is_the_one_in_its_script(offered: int) -> None:
    script = Script(slots=16, decode_rate=200, sigma=0.5, median_tokens=40)
    engine = RecordingEngine(ScriptedEngine(script))

    async def row(number: int, gate: asyncio.Semaphore) -> None:
        async with gate:
            ROW.set(f"row{number}")
            await engine.generate(Prompt("x" * 40, Sampling(), number))

    async def work() -> None:
        gate = asyncio.Semaphore(offered)
        await asyncio.gather(*(row(number, gate) for number in range(200)))

    asyncio.run(work())
    assert {call.row for call in engine.calls} == {f"row{number}" for number in range(200)}
    rate, full = steady_rate(engine.calls, 16)
    # 16 at once at 200 tokens written a second, and ten read for each call beside them
    written = sum(call.completion_tokens for call in engine.calls)
    assert full
    assert rate == pytest.approx(16 * 200 * (written + 2000) / written, rel=0.1)


POOL = PoolConfig(batch_rows=64, batches_in_flight=4)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (ScriptedConfig(kind="scripted", slots=24), 24),
        (ScriptedConfig(kind="scripted", slots=1000), 256),
        (VllmConfig(model="m", arguments={"max_num_seqs": 16}), 16),
        (VllmConfig(model="m"), VLLM_SLOTS),
        (OpenAIConfig(kind="openai", model="m", url="http://127.0.0.1:1/v1"), 256),
    ],
)
def test_an_engine_takes_what_it_is_configured_to_and_its_pool_offers(engine: Any, expected: int) -> None:
    assert slots(engine, POOL) == expected


def test_stated_rates_are_read_from_yaml_and_from_an_earlier_forecast(tmp_path: Path) -> None:
    one = {"tokens_per_second": 100, "prompt_tokens": 30, "completion_tokens": 20}
    (tmp_path / "rates.yaml").write_text(json.dumps({"pools": {"evolve_a": one}}))
    (tmp_path / "plan.json").write_text(json.dumps({"notes": [], "rates": {"pools": {"evolve_a": one}}}))
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
