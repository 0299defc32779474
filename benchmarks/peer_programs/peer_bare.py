"""A loop over aiohttp: what a careful person writes in an evening. Keeps nothing, so a kill repeats all."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

import aiohttp

STEPS = 3


async def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Three requests a seed, so many seeds at once."""
    turns, texts = asyncio.Semaphore(at_once), list[str]()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def one(text: str) -> None:
            async with turns:
                for _ in range(STEPS):
                    body = {"model": "m", "messages": [{"role": "user", "content": f"Make harder: {text}"}]}
                    async with client.post(f"{url}/chat/completions", json=body) as answer:
                        text = (await answer.json())["choices"][0]["message"]["content"]
            texts.append(text)

        lines = Path(seeds).read_text(encoding="utf-8").splitlines()
        await asyncio.gather(*(one(json.loads(line)["instruction"]) for line in lines))
    Path(out).write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"a bare loop, aiohttp {version('aiohttp')}")
    else:
        asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
