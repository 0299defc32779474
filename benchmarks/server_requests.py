"""What a request to a server costs: this project's client beside the OpenAI SDK with its default transport.

One server on loopback, a process of its own, answers at once or after 200 ms with 60 words. The client has at most 256
requests under way. CPU is that of the client's process alone; passes of both take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import NamedTuple

import openai
from aiohttp import web
from tables import markdown, publish

from evolve.engines.openai_engine import OpenAIEngine
from evolve.records import Prompt, Sampling

AT_ONCE = 256
WARM_UP = 300
TEXT = "Make it harder: " + "x " * 100
Ask = Callable[[int], Awaitable[object]]


class Cost(NamedTuple):
    """CPU milliseconds of the client a request, and requests a second."""

    cpu: float
    rate: float


def serve(port: int, seconds: float) -> None:
    """Answer on loopback, each request after so many seconds."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word " * 60}}
    usage = {"prompt_tokens": 110, "completion_tokens": 60, "total_tokens": 170}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(seconds)
        return web.json_response(body)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


async def measured(ask: Ask, requests: int) -> Cost:
    """Ask `requests` times after a warm-up."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with turns:
            await ask(number)

    await asyncio.gather(*map(one, range(WARM_UP)))
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*map(one, range(requests)))
    return Cost(1000 * (time.process_time() - cpu) / requests, requests / (time.perf_counter() - began))


async def ours(url: str, requests: int) -> Cost:
    """Through this project's engine, answers read and all."""
    engine = OpenAIEngine(url, "m", "NO_SUCH_KEY", 60, 3, at_once=AT_ONCE)
    try:
        return await measured(lambda number: engine.generate(Prompt.user(TEXT, Sampling(), number)), requests)
    finally:
        await engine.close()


async def sdk(url: str, requests: int) -> Cost:
    """Through the SDK."""
    async with openai.AsyncOpenAI(base_url=url, api_key="none", timeout=60, max_retries=3) as client:
        return await measured(
            lambda number: client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": TEXT}], max_tokens=2048, seed=number
            ),
            requests,
        )


def main() -> None:
    """Measure and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4500)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--port", type=int, default=18765)
    args = parser.parse_args()
    load, rows = os.getloadavg()[0], []
    for place, seconds in enumerate((0.0, 0.2)):
        port = args.port + place
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(port, seconds), daemon=True)
        server.start()
        time.sleep(5)
        url = f"http://127.0.0.1:{port}/v1"
        costs: dict[str, list[Cost]] = {"this project": [], f"openai {version('openai')}": []}
        for _ in range(args.passes):
            for name, client in zip(costs, (ours, sdk), strict=True):
                costs[name].append(asyncio.run(client(url, args.requests)))
        server.terminate()
        server.join()
        when = f"{1000 * seconds:g} ms" if seconds else "at once"
        rows += [[when, name, *_medians(found)] for name, found in costs.items()]
    text = f"Load {load:.1f} at start. {args.requests:,} requests a pass, medians of {args.passes} (least to greatest)."
    publish(
        "server_requests",
        f"{text}\n\n" + markdown(["server answers", "client", "CPU ms a request", "requests/s"], rows),
    )


def _medians(costs: list[Cost]) -> list[str]:
    cpu, rate = ([cost[side] for cost in costs] for side in (0, 1))
    return [
        f"{statistics.median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f})",
        f"{statistics.median(rate):,.0f} ({min(rate):,.0f} to {max(rate):,.0f})",
    ]


if __name__ == "__main__":
    main()
