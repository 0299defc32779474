"""How much of its engine's speed the evolve stage keeps: a real vLLM engine in the pipeline, and the same one alone.

1. Two rounds through the pipeline, against the same engine given the same prompts (of both rounds) all at once.
2. One round through the pipeline, against Ray's own `ray.data.llm` processor given the same prompts, with the same
   engine arguments and sampling, log-probabilities included.

Speeds are generated tokens a second from an engine's first prompt to its last reply: loading is left out everywhere.
CPU seconds are those of a whole job, all processes, loading included.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import ray
from processes import ProcessWatch, even_priority
from tables import markdown, publish

from evolve.records import Completion, Instruction, Prompt
from ray_jobs.config.engines import build_engine, build_strategy
from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run

ROOT = Path(__file__).parents[1]
MODEL = str(ROOT / ".cache" / "models" / "smollm2-135m-instruct")
ARGUMENTS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 1024, "max_num_seqs": 32}
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
EVOLVER = "smol"


@dataclass(frozen=True)
class Measured:
    """One job: generated tokens, the seconds in which they came, and CPU seconds by role."""

    tokens: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Generated tokens a second."""
        return self.tokens / self.seconds

    def line(self, name: str, rounds: int, rows: int, against: float) -> list[str]:
        """As a line of the table; `against` is the speed that it is measured by."""
        engine = sum(cpu for role, cpu in self.cpu.items() if role.startswith("VLLM"))
        rest = sum(self.cpu.values()) - engine
        stats = [f"{self.tokens:,}", f"{self.seconds:.1f}", f"{self.rate:.1f}", f"{self.rate / against:.3f}"]
        return [name, str(rounds), *stats, f"{engine / rows:.2f}", f"{rest / rows:.2f}"]


def configuration(folder: Path, rows: int, rounds: int, max_tokens: int) -> RunConfig:
    """One evolver on the example seeds, each in two samples; a scripted responder and no scorer. No rule is on."""
    return RunConfig.model_validate(
        {
            "output": str(folder / "out"),
            "seeds": {"path": str(ROOT / "examples" / "seeds.jsonl"), "limit": rows // 2},
            "samples": 2,
            "strategy": {"rounds": rounds, "elimination": "none", "sampling": {"max_tokens": max_tokens}},
            "evolvers": {
                EVOLVER: {"engine": {"model": MODEL, "arguments": ARGUMENTS, "environment": ENVIRONMENT}, "pool": {}}
            },
            "responder": {"engine": {"kind": "scripted"}, "pool": {}},
        }
    )


def pipeline(config: RunConfig) -> Measured:
    """Run the job; the evolvers' figures are those of its report."""
    with ProcessWatch() as watch:
        report = run(SynthesisJob(config))
    assert report["reconciles"]
    written = sum(len(texts) for texts in replies(config).values())
    assert written == report["rows"]["done"] * config.strategy.rounds
    pool = report["pools"][f"evolve_{EVOLVER}"]
    return Measured(pool["completion_tokens"], pool["seconds"], watch.cpu_by_role())


def replies(config: RunConfig) -> dict[str, dict[int, str]]:
    """What the engine wrote, by row and round."""
    texts: dict[str, dict[int, str]] = {}
    for folder in ("data", "rejected"):
        for path in (Path(config.output) / folder).glob("*.parquet"):
            for record in pq.read_table(path, columns=["row_id", "round", "instruction"]).to_pylist():
                texts.setdefault(record["row_id"], {})[record["round"]] = record["instruction"]
    return texts


def prompts_of(config: RunConfig) -> list[Prompt]:
    """The prompts that the run's evolver was given, found by playing its flows again with the replies it gave."""
    strategy, texts, prompts = build_strategy(config.strategy), replies(config), list[Prompt]()
    for path in (Path(config.output) / "plan" / EVOLVER).glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            rng = Random(f"{config.seed} evolve {row['row_id']}")
            flow = strategy.evolve(Instruction(row["seed_instruction"], row["input"]), row["seed_index"], rng)
            prompts.append(next(flow))
            for number in range(1, strategy.rounds):
                prompts.append(flow.send(Completion(texts[row["row_id"]][number], "stop", 0, 0)))
    return prompts


def alone(config: RunConfig, prompts: list[Prompt]) -> Measured:
    """The engine in a process of its own, given all prompts at once."""
    # not a Pool, whose processes may have none below them, as vLLM's engine is
    executor = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with ProcessWatch() as watch, executor:
        tokens, seconds = executor.submit(_all_at_once, config.evolvers[EVOLVER].engine, prompts).result()
    return Measured(tokens, seconds, watch.cpu_by_role())


def _all_at_once(config: Any, prompts: list[Prompt]) -> tuple[int, float]:
    async def together() -> tuple[int, float]:
        engine = build_engine(config)
        started = time.monotonic()
        completions = await asyncio.gather(*map(engine.generate, prompts))
        seconds = time.monotonic() - started
        await engine.close()
        return sum(completion.completion_tokens for completion in completions), seconds

    return asyncio.run(together())


def ray_processor(prompts: list[Prompt]) -> Measured:
    """Ray's processor, with its own defaults for batches, on the same prompts and sampling."""
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    config = vLLMEngineProcessorConfig(
        model_source=MODEL,
        engine_kwargs={**ARGUMENTS, "enable_prefix_caching": True, "enable_chunked_prefill": False},
        runtime_env={"env_vars": ENVIRONMENT},
        concurrency=1,
        batch_size=64,
        placement_group_config={"bundles": [{"CPU": 1}]},
        log_engine_metrics=False,
    )
    with ProcessWatch() as watch:
        # each of its stages wants an actor, and one that waits for a CPU says nothing
        ray.init(num_cpus=12, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        processor = build_processor(config, preprocess=_request, postprocess=_result)
        rows = [{"prompt": prompt.text, "seed": prompt.seed, **_sampling(prompt)} for prompt in prompts]
        done = processor(ray.data.from_items(rows, override_num_blocks=8)).take_all()
        ray.shutdown()
    assert len(done) == len(prompts)
    started = min(row["ended"] - row["seconds"] for row in done)
    seconds = max(row["ended"] for row in done) - started
    return Measured(sum(row["tokens"] for row in done), seconds, watch.cpu_by_role())


def _sampling(prompt: Prompt) -> dict[str, Any]:
    sampling = prompt.sampling
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}


def _request(row: dict[str, Any]) -> dict[str, Any]:
    sampling = {key: row[key] for key in ("temperature", "top_p", "max_tokens", "seed")}
    return {
        "messages": [{"role": "user", "content": row["prompt"]}],
        "sampling_params": {**sampling, "logprobs": 1},
    }


def _result(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "text": row["generated_text"],
        "tokens": row["num_generated_tokens"],
        "seconds": row["time_taken_llm"],
        "ended": time.time(),
    }


def against_the_engine(rows: int, max_tokens: int) -> list[list[str]]:
    """Two rounds in the pipeline, and their prompts alone."""
    with tempfile.TemporaryDirectory() as name:
        config = configuration(Path(name), rows, 2, max_tokens)
        whole = pipeline(config)
        engine = alone(config, prompts_of(config))
    return [
        engine.line("the engine alone, all prompts at once", 2, rows, engine.rate),
        whole.line("the pipeline's evolve stage", 2, rows, engine.rate),
    ]


def against_ray(rows: int, max_tokens: int) -> list[list[str]]:
    """One round in the pipeline, and its prompts through Ray's processor."""
    with tempfile.TemporaryDirectory() as name:
        config = configuration(Path(name), rows, 1, max_tokens)
        whole = pipeline(config)
        processor = ray_processor(prompts_of(config))
    return [
        processor.line("ray.data.llm", 1, rows, processor.rate),
        whole.line("the pipeline's evolve stage", 1, rows, processor.rate),
    ]


PARTS = {"engine": against_the_engine, "ray": against_ray}


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args()
    even_priority()
    os.environ.update(ENVIRONMENT)
    headings = ["what", "rounds", "tokens", "seconds", "tokens/s", "against the first", "CPU s a row: engine", "rest"]
    for part in args.parts:
        heading = f"{args.rows} rows, at most {args.max_tokens} tokens a completion.\n\n"
        lines = PARTS[part](args.rows, args.max_tokens)
        publish(f"engine_share_{part}", heading + markdown(headings, lines))


if __name__ == "__main__":
    main()
