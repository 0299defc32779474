"""The service: what its gateway costs, how fast it scores, and how long people wait while a batch run fills an engine.

Five parts, each of some three minutes on two cores. `gateway`: requests that an engine answers at once, beside a bare
FastAPI and ray.serve.llm's application. `chat`: a real model through the gateway beside its bare engine, both loaded,
in alternating passes. `score`: pairs through /v1/score beside the scorer alone. `queue`: a person's requests beside
batch work in one engine that takes people first, by K, the places that batch work leaves free. `queue_fcfs`: the same
in an engine that takes who came first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from service_servers import TOKEN, beside, service
from tables import markdown, publish

from evolve.engine import Engine
from evolve.records import Completion, Prompt, Sampling
from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.engines import build_engine
from ray_jobs.config.run import ModelScorerConfig
from ray_jobs.service.engine_worker import EngineWorker
from ray_jobs.service.score_worker import ScoreWorker
from ray_jobs.service.work import Call

MODEL = Path(os.environ.get("EVOLVE_MODELS", ".cache/models")).resolve() / "smollm2-135m-instruct"
SEEDS = str(Path(__file__).parents[1] / "examples" / "seeds.jsonl")
ARGUMENTS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512}
SLOTS = 32
TOKENS = 24
WARM = 8
PAIR_WORDS = 8
FILL_SECONDS = 5.0
"""How long batch work has to fill an engine."""
PARTS = {"gateway": (1000, 5), "chat": (32, 5), "score": (1, 4), "queue": (20, 1), "queue_fcfs": (20, 1)}
"""Each part, how many requests it makes a pass, and how many passes a setting."""
Ask = Callable[[int], Awaitable[int]]
"""Asks for one completion, and returns its tokens."""


def question(number: int) -> str:
    """One of many that no cache knows, with a long answer."""
    return f"Story {number}: write a long and detailed story about {number % 97 + 3} people who travel to the sea."


@dataclass(frozen=True)
class Load:
    """What requests came to: how many, tokens, all the seconds, and those of each, sorted."""

    requests: int
    tokens: int
    took: float
    seconds: list[float]


async def load(ask: Ask, clients: int, requests: int) -> Load:
    """Have so many clients ask `requests` times, each when it has its answer."""
    numbers, seconds, tokens = iter(range(requests)), list[float](), 0

    async def one() -> None:
        nonlocal tokens
        for number in numbers:
            began = time.perf_counter()
            tokens += await ask(number)
            seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return Load(requests, tokens, time.perf_counter() - began, sorted(seconds))


def over_http(session: aiohttp.ClientSession, url: str, tokens: int, offset: int = 0) -> Ask:
    """Ask an OpenAI-compatible server."""

    async def ask(number: int) -> int:
        body = {
            "model": "small",
            "messages": [{"role": "user", "content": question(number + offset)}],
            "max_tokens": tokens,
            "temperature": 0,
        }
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            found = await answer.json()
            return int(found["usage"]["completion_tokens"])

    return ask


def of_engine(engine: Engine, tokens: int, offset: int = 0) -> Ask:
    """Ask an engine in this process."""
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=tokens)

    async def ask(number: int) -> int:
        return (await engine.generate(Prompt.user(question(number + offset), sampling, number))).completion_tokens

    return ask


def client() -> aiohttp.ClientSession:
    """A client with our token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0))


def at(seconds: list[float], share: float) -> float:
    """A quantile."""
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


async def _rates(url: str, requests: int, passes: int) -> list[list[Any]]:
    rows = []
    async with client() as session:
        ask = over_http(session, url, TOKENS)
        await load(ask, 8, 50)
        for clients in (1, 8, 32):
            found = [await load(ask, clients, requests) for _ in range(passes)]
            rates = [item.requests / item.took for item in found]
            ms = sorted(1000 * each for item in found for each in item.seconds)
            rows.append([clients, f"{statistics.median(rates):,.0f}", f"{at(ms, 0.5):.1f}", f"{at(ms, 0.95):.1f}"])
    return rows


def gateway(requests: int, passes: int) -> str:
    """What stands between a client and an engine that answers at once."""
    settings = {
        "seeds": {"path": SEEDS},
        "evolvers": {"small": {"engine": {"kind": "scripted"}}},
        "responder": {"kind": "evolver"},
    }
    rows = []
    for name, server in (
        ("bare FastAPI", lambda: beside("bare")),
        ("the service", lambda: service(settings)),
        ("ray.serve.llm", lambda: beside("llm")),
    ):
        with server() as url:
            rows += [[name, *row] for row in asyncio.run(_rates(url, requests, passes))]
    return markdown(["server", "clients", "requests/s", "p50 ms", "p95 ms"], rows)


def chat(requests: int, passes: int) -> str:
    """A real model through the gateway, and its bare engine."""
    engine = {"model": str(MODEL), "arguments": {**ARGUMENTS, "max_num_seqs": SLOTS}}
    settings = {
        "seeds": {"path": SEEDS},
        "evolvers": {"small": {"engine": engine}},
        "responder": {"kind": "evolver"},
    }
    with service(settings) as url:
        alone = build_engine(VllmConfig(kind="vllm", **engine))
        rows = asyncio.run(_alternating(url, alone, requests, passes))
    headings = ["clients", "tokens a request", "bare engine, tokens/s", "gateway, tokens/s", "gateway / bare"]
    return markdown(headings, rows)


async def _alternating(url: str, engine: Engine, requests: int, passes: int) -> list[list[Any]]:
    rows = []
    async with client() as session:
        for ask in (of_engine(engine, TOKENS), over_http(session, url, TOKENS)):
            await load(ask, WARM, WARM)
        for clients in (1, 8, 32):
            number, found = max(clients, requests * clients // 32), {"bare": list[float](), "gateway": list[float]()}
            tokens = []
            for place in range(passes):
                offset = 1000 * clients + 100 * place
                asks = {
                    "bare": of_engine(engine, TOKENS, offset),
                    "gateway": over_http(session, url, TOKENS, offset),
                }
                # whoever comes first is the other one's turn next
                for name, ask in sorted(asks.items(), reverse=place % 2 == 0):
                    done = await load(ask, clients, number)
                    found[name].append(done.tokens / done.took)
                    tokens.append(done.tokens / done.requests)
            ratios = [ours / bare for ours, bare in zip(found["gateway"], found["bare"], strict=True)]
            rates = [f"{statistics.median(found[name]):.1f}" for name in ("bare", "gateway")]
            rows.append(
                [
                    clients,
                    f"{statistics.mean(tokens):.0f}",
                    *rates,
                    f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})",
                ]
            )
    await engine.close()
    return rows


def score(requests: int, passes: int) -> str:
    """Pairs through /v1/score, 256 a request, and the scorer alone, in blocks of as many."""
    seeds = [json.loads(line) for line in Path(SEEDS).read_text().splitlines()]
    texts = [" ".join(item["instruction"].split()[:PAIR_WORDS]) for item in seeds]
    pairs = [
        {"instruction": f"{number}: {texts[number % len(texts)]}", "input": "", "output": texts[-number % len(texts)]}
        for number in range(256 * requests)
    ]
    settings = {
        "seeds": {"path": SEEDS},
        "evolvers": {"small": {"engine": {"kind": "scripted"}}},
        "responder": {"kind": "evolver"},
        # Ray gives an actor as many threads as it asks for CPUs, by default one
        "scorer": {"model": str(MODEL), "threads": os.cpu_count()},
    }
    worker = ScoreWorker(ModelScorerConfig(kind="model", model=str(MODEL), threads=os.cpu_count()).build())
    blocks = [pairs[start : start + 256] for start in range(0, len(pairs), 256)]
    bodies = [
        {"pairs": [{"instruction": item["instruction"], "response": item["output"]} for item in block]}
        for block in blocks
    ]

    async def both(url: str) -> dict[str, list[float]]:
        async with client() as session:

            async def through(number: int) -> int:
                async with session.post(f"{url}/v1/score", json=bodies[number]) as answer:
                    return len((await answer.json())["scores"])

            async def alone(number: int) -> int:
                return len(await worker.score(blocks[number]))

            # warms up
            await worker.score(blocks[0][:WARM])
            async with session.post(f"{url}/v1/score", json={"pairs": bodies[0]["pairs"][:WARM]}) as answer:
                assert answer.status == 200, await answer.text()
            found = {"the scorer alone": list[float](), "/v1/score": list[float]()}
            for _ in range(passes):
                for name, ask in zip(found, (alone, through), strict=True):
                    done = await load(ask, 2, requests)
                    found[name].append(done.tokens / done.took)
            return found

    with service(settings) as url:
        found = asyncio.run(both(url))
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    rows = [[name, f"{rate:.1f}"] for name, rate in medians.items()]
    ratio = medians["/v1/score"] / medians["the scorer alone"]
    return markdown(["256 pairs a request", "rows/s, median"], [*rows, ["/v1/score / alone", f"{ratio:.3f}"]])


def queue(policy: str, requests: int, slots: int = 8) -> str:
    """How long a person waits for 16 tokens while batch work wants twice the engine's places."""
    arguments = {**ARGUMENTS, "max_num_seqs": slots, "scheduling_policy": policy}
    engine = build_engine(VllmConfig(kind="vllm", model=str(MODEL), arguments=arguments))
    rows = asyncio.run(_waits(engine, requests, slots))
    return markdown(["K", "p50 s", "p95 s", "p95 / idle", "batch tokens/s"], rows)


async def _waits(engine: Engine, requests: int, slots: int) -> list[list[Any]]:
    rows = []
    await _person(EngineWorker(engine, 0), 2, 9_000)  # warms up
    alone = await _person(EngineWorker(engine, 0), requests, 10_000)
    idle = at(alone, 0.95)
    rows.append(["idle engine", f"{at(alone, 0.5):.2f}", f"{idle:.2f}", "1.0", ""])
    for free in (0, 1, 2):
        worker, written, stop = EngineWorker(engine, free), [0], asyncio.Event()

        async def batch(number: int, worker: EngineWorker = worker, written: list[int] = written) -> None:
            sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=64)
            while not stop.is_set():  # noqa: B023  # it is awaited below
                number += 100
                found = await worker.complete(Call(Prompt.user(question(number), sampling, 0), urgency=5))
                written[0] += found.completion_tokens if isinstance(found, Completion) else 0

        tasks = [asyncio.ensure_future(batch(100_000 * (free + 1) + number)) for number in range(2 * slots)]
        await asyncio.sleep(FILL_SECONDS)
        began, before = time.perf_counter(), written[0]
        seconds = await _person(worker, requests, 20_000 * (free + 2))
        rate = (written[0] - before) / (time.perf_counter() - began)
        stop.set()
        await asyncio.gather(*tasks)
        p95 = at(seconds, 0.95)
        rows.append([free, f"{at(seconds, 0.5):.2f}", f"{p95:.2f}", f"{p95 / idle:.1f}", f"{rate:.0f}"])
    await engine.close()
    return rows


async def _person(worker: EngineWorker, requests: int, offset: int) -> list[float]:
    """The seconds of requests one after the other, with pauses between."""
    sampling, seconds = Sampling(temperature=0.0, top_p=1.0, max_tokens=16), list[float]()
    for number in range(requests):
        await asyncio.sleep(0.3)
        began = time.perf_counter()
        await worker.complete(Call(Prompt.user(question(number + offset), sampling, 0)))
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)


def main() -> None:
    """Measure the parts that are asked for, and publish their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument(
        "--requests", type=int, help=f"a pass; by default of each part {[requests for requests, _ in PARTS.values()]}"
    )
    parser.add_argument("--passes", type=int, help=f"by default {[passes for _, passes in PARTS.values()]}")
    args = parser.parse_args()
    # of all engines, those of the service's processes too, which would else take most of what memory there is
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    parts: dict[str, Callable[[int, int], str]] = {
        "gateway": gateway,
        "chat": chat,
        "score": score,
        "queue": lambda requests, _: queue("priority", requests),
        "queue_fcfs": lambda requests, _: queue("fcfs", requests),
    }
    for name in args.part or parts:
        requests, passes = PARTS[name]
        start = os.getloadavg()[0]
        table = parts[name](args.requests or requests, args.passes or passes)
        publish(f"service_{name}", f"Load {start:.1f} at start.\n\n{table}")


if __name__ == "__main__":
    main()
