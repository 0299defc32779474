"""The server of `peers.py`: answers chats after so many seconds, and counts them and those asked before."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

from aiohttp import web


class Chats:
    """What was asked since the last reset."""

    def __init__(self, delay: float) -> None:
        self._delay, self._seen = delay, set[bytes]()
        self._answered = self._repeated = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Sixty words, told apart by what was asked; a repeated question gets the same ones."""
        body = json.loads(await request.read())
        digest = hashlib.blake2b(json.dumps(body["messages"]).encode(), digest_size=8).digest()
        self._repeated += digest in self._seen
        self._seen.add(digest)
        if self._delay:
            await asyncio.sleep(self._delay)
        self._answered += 1
        text = f"Explain {digest.hex()} in more depth: " + "word " * 60
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 110, "completion_tokens": 60, "total_tokens": 170}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        )

    async def counts(self, _: web.Request) -> web.Response:
        """Answered, and asked before."""
        return web.json_response([self._answered, self._repeated])

    async def reset(self, _: web.Request) -> web.Response:
        """Forget all."""
        self._seen, self._answered, self._repeated = set(), 0, 0
        return web.Response()

    async def models(self, _: web.Request) -> web.Response:
        """The one that is there."""
        return web.json_response({"object": "list", "data": [{"id": "m", "object": "model"}]})


async def serve(delay: float) -> None:
    """Serve at a free port, which is told first."""
    chats, app = Chats(delay), web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", chats.answer)
    app.router.add_get("/v1/models", chats.models)
    app.router.add_get("/counts", chats.counts)
    app.router.add_get("/reset", chats.reset)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
