"""Several completions of one prompt by a real model: vLLM reads what they share once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evolve.engines.test_real_engines import ENVIRONMENT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
DRAWS, BLOCK = 8, 32
# in a process of its own, as in test_real_engines.py
SCRIPT = """
import asyncio, json, sys
from dataclasses import asdict, replace
from prometheus_client import REGISTRY
from evolve.engines.vllm_engine import VllmEngine
from evolve.records import Prompt, Sampling

READ = "vllm:prompt_tokens_by_source_total"

def read():
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {sample.labels["source"]: sample.value for sample in samples if sample.name == READ}

async def main(model, draws, block):
    arguments = {"max_model_len": 1024, "disable_log_stats": False, "block_size": block, "enforce_eager": True}
    engine = VllmEngine(model, arguments)
    text = "Count how often the word river stands here: " + "river " * 400
    prompt = Prompt.user(text, Sampling(temperature=1.0, max_tokens=24), 5)
    found = asdict(await engine.generate(replace(prompt, draws=draws)))
    while not sum(read().values()):
        await asyncio.sleep(0.1)
    await engine.close()
    print(json.dumps({"read": read(), "draws": [found, *found["others"]]}))

if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@pytest.fixture(scope="module")
def found(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What vLLM has drawn, and the tokens of prompts that it has read by where they came from."""
    script = tmp_path_factory.mktemp("draws") / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(script), str(smollm2_dir), str(DRAWS), str(BLOCK)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    read: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return read


def test_the_prompt_is_read_once_but_for_its_last_block(found: dict[str, Any]) -> None:
    tokens = found["draws"][0]["prompt_tokens"]
    assert tokens > 10 * BLOCK
    assert sum(found["read"].values()) == DRAWS * tokens
    assert tokens <= found["read"]["local_compute"] < tokens + DRAWS * BLOCK


def test_each_draw_is_its_own(found: dict[str, Any]) -> None:
    draws = found["draws"]
    assert len(draws) == DRAWS
    assert len({draw["text"] for draw in draws}) > 1
    assert all(draw["completion_tokens"] > 0 and draw["finish_reason"] in ("stop", "length") for draw in draws)
    assert [draw["prompt_tokens"] for draw in draws[1:]] == [0] * (DRAWS - 1)
