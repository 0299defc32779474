"""One client of several servers on loopback: who is asked, and what becomes of requests of one that is away."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
from aiohttp import web

from evolve.engines.http_server import Gone, HttpServer
from evolve.engines.http_servers import HttpServers
from evolve.engines.openai_engine import OpenAIEngine
from evolve.engines.pace import Pace
from evolve.engines.quota import Limits
from evolve.errors import SettingError, SettingsRefused
from evolve.records import Prompt, Sampling

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REPLY = {
    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def served(handlers: Sequence[Handler], ask: Callable[[list[str]], Awaitable[object]]) -> None:
    """Give `ask` the URLs of servers with these handlers."""

    async def serve() -> None:
        runners = [web.ServerRunner(web.Server(handler)) for handler in handlers]  # type: ignore[arg-type]
        try:
            for runner in runners:
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
            await ask([f"http://127.0.0.1:{runner.addresses[0][1]}/v1" for runner in runners])
        finally:
            for runner in runners:
                await runner.cleanup()

    asyncio.run(serve())


class Counting:
    """Answers after `seconds`, and counts the keys that it sees."""

    def __init__(self, seconds: float = 0.0, refused: str = "", status: int = 200) -> None:
        self.keys, self._seconds, self._refused, self._status = Counter[str](), seconds, refused, status

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        self.keys[key] += 1
        await asyncio.sleep(self._seconds)
        if key == self._refused:
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        return web.json_response(REPLY, status=self._status)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def posted(servers: HttpServers, requests: int) -> None:
    await asyncio.gather(*(servers.post("/chat/completions", b"{}", bytes) for _ in range(requests)))
    await servers.close()


def client(urls: Sequence[str], most: int = 8, retries: int = 0) -> HttpServers:
    return HttpServers([HttpServer(url, "key", 5, most) for url in urls], retries)


def test_requests_go_where_there_is_room() -> None:
    quick, slow = Counting(0.01), Counting(0.2)
    served([quick, slow], lambda urls: posted(client(urls), 400))
    assert quick.keys["key"] > 3 * slow.keys["key"] > 0


@pytest.mark.parametrize("status", [0, 500])
def test_a_server_that_is_away_is_left_alone_and_loses_no_request(status: int) -> None:
    there, away = Counting(0.01), Counting(status=status)

    async def ask(urls: list[str]) -> None:
        urls = [urls[0], urls[1] if status else f"http://127.0.0.1:{free_port()}/v1"]
        await posted(client(urls), 300)

    served([there, away], ask)
    assert there.keys["key"] == 300
    assert away.keys["key"] <= 8 * (1 if status else 0)


def test_where_all_are_away_it_is_told() -> None:
    urls = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    with pytest.raises(Gone, match="Cannot connect"):
        asyncio.run(posted(client(urls), 20))


def prompt(seed: int) -> Prompt:
    return Prompt.user("Hello", Sampling(), seed)


def test_each_key_of_a_server_is_used_and_a_refused_one_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "one")
    monkeypatch.setenv("KEY_B", "two")
    good, refusing = Counting(), Counting(refused="two")

    async def ask(urls: list[str]) -> None:
        engine = OpenAIEngine(urls[0], "m", ["KEY_A", "KEY_B"], 5, 0)
        for seed in range(10):
            await engine.generate(prompt(seed))
        await engine.close()
        engine = OpenAIEngine(urls[1], "m", ["KEY_A", "KEY_B"], 5, 0)
        await engine.generate(prompt(0))
        with pytest.raises(SettingsRefused, match=r"^api_key_env: .*KEY_B.*no such key"):
            await engine.generate(prompt(1))
        await engine.close()

    served([good, refusing], ask)
    assert good.keys == {"one": 5, "two": 5}


def test_a_key_of_several_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "one")
    with pytest.raises(SettingError, match="no variable NO_SUCH_KEY"):
        OpenAIEngine("http://x/v1", "m", ["KEY_A", "NO_SUCH_KEY"], 5, 0)


def test_a_limit_holds_for_all_urls_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "one")
    servers = [Counting(), Counting()]

    async def ask(urls: list[str]) -> None:
        engine = OpenAIEngine(urls, "m", "KEY_A", 5, 0, limits=Limits(requests=600))
        began = time.monotonic()
        await asyncio.gather(*(engine.generate(prompt(seed)) for seed in range(20)))
        # ten a second, of which one second's may be there at first
        assert time.monotonic() - began > 0.9
        await engine.close()

    served(servers, ask)
    assert sum(server.keys["one"] for server in servers) == 20


def test_a_server_that_grows_slow_gets_as_many_requests_as_are_of_use() -> None:
    at_work, allowed = asyncio.Semaphore(8), list[int]()

    async def queueing(request: web.BaseRequest) -> web.StreamResponse:
        async with at_work:
            await asyncio.sleep(0.04)
        allowed.append(server.pace.allowed)
        return web.Response(text="{}")

    async def ask(urls: list[str]) -> None:
        nonlocal server
        server = HttpServer(urls[0], "key", 30, 48)
        server.pace = Pace(48, worth=0.06)
        await posted(HttpServers([server], 0), 1000)

    server: HttpServer = None  # type: ignore[assignment]
    served([queueing], ask)
    assert min(allowed) <= 24
