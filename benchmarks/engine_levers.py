"""What an engine's settings cost: log-probabilities, forms and prefix caching, each against the same engine without.

One vLLM engine is loaded with prefix caching and one without. The same prompts are asked in turns, each way in every
turn, and the middle of the turns counts; a ratio above 1 says that the lever makes the engine faster. Speeds are
generated tokens a second from the first prompt to the last reply, loading left out. Prompts share a long beginning,
as those of strategies do, and every reply has the same number of tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tables import markdown, publish

from evolve.engine import Engine
from evolve.prompts import SHIPPED
from evolve.records import Form, Prompt, Sampling
from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.engines import build_engine

MODEL = os.environ.get("EVOLVE_MODELS", str(Path(__file__).parents[1] / ".cache" / "models"))
BEGINNING = (SHIPPED / "evol_instruct" / "deepen.txt").read_text(encoding="utf-8")
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
HEADINGS = ("lever", "tokens/s with", "tokens/s without", "ratio")


def prompts(count: int, tokens: int, turn: int) -> list[Prompt]:
    """The plain prompts of a turn, none of which an earlier turn has asked."""
    sampling = Sampling(temperature=0.7, top_p=0.95, max_tokens=tokens, extra={"min_tokens": tokens})
    task = f"Write sentence {turn} about the number"
    return [Prompt.user(f"{BEGINNING}\n\n{task} {number}.", sampling, number) for number in range(count)]


def with_form(prompt: Prompt) -> Prompt:
    """The prompt with a form that every text of enough letters has: it costs masks, and shortens nothing."""
    tokens = prompt.sampling.max_tokens
    return replace(prompt, form=Form(pattern=r"[A-Za-z ,.]{1,4000}"), sampling=Sampling(0.7, 0.95, tokens))


async def speed(engine: Engine, asked: Sequence[Prompt]) -> float:
    """Generated tokens a second."""
    began = time.monotonic()
    done = await asyncio.gather(*map(engine.generate, asked))
    return sum(item.completion_tokens for item in done) / (time.monotonic() - began)


async def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """The speeds of each way, turn by turn."""
    found: dict[str, list[float]] = {"plain": [], "log-probabilities": [], "a form": [], "no prefix caching": []}
    for caching in (True, False):
        engine = loaded(arguments.model, caching, arguments.cpu)
        await speed(engine, prompts(4, arguments.tokens, -1))
        for turn in range(arguments.turns):
            ways = {"no prefix caching": prompts(arguments.prompts, arguments.tokens, turn)}
            if caching:
                first, second, third = (
                    prompts(arguments.prompts, arguments.tokens, 3 * turn + way) for way in range(3)
                )
                measured = [replace(prompt, measure_confidence=True) for prompt in second]
                ways = {"plain": first, "log-probabilities": measured, "a form": list(map(with_form, third))}
            for name, asked in ways.items():
                found[name].append(await speed(engine, asked))
        await engine.close()
    return found


def loaded(model: str, caching: bool, cpu: bool) -> Engine:
    """An engine with or without prefix caching."""
    given: dict[str, Any] = {"max_model_len": 1024, "enable_prefix_caching": caching}
    if cpu:
        given |= {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 32}
    return build_engine(
        VllmConfig(model=model, reasoning="none", arguments=given, environment=ENVIRONMENT if cpu else {})
    )


def main() -> None:
    """Measure, and put the table into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=f"{MODEL}/smollm2-135m-instruct")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--gpu", dest="cpu", action="store_false")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    speeds = {name: statistics.median(turns) for name, turns in asyncio.run(measure(arguments)).items()}
    plain = speeds["plain"]
    pairs = {
        "log-probabilities": (speeds["log-probabilities"], plain),
        "a form": (speeds["a form"], plain),
        "prefix caching": (plain, speeds["no prefix caching"]),
    }
    rows = [
        (name, f"{there:,.0f}", f"{absent:,.0f}", f"{there / absent:.2f}") for name, (there, absent) in pairs.items()
    ]
    note = f"{arguments.prompts} prompts a turn, {arguments.tokens} tokens each, {arguments.turns} turns."
    publish("engine_levers", f"{markdown(HEADINGS, rows)}\n\n{note} The machine's load was {load:.1f} before.")


if __name__ == "__main__":
    main()
