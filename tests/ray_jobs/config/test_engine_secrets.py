"""An engine over HTTP gets its secrets, and nothing that it raises repeats one, whatever the server says."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from evolve.errors import EngineDied, EngineError, PromptRefused
from evolve.records import Completion, Prompt, Sampling
from ray_jobs.config.engine_kinds import OpenAIConfig
from ray_jobs.config.engines import build_engine
from ray_jobs.errors import ConfigError
from tests.ray_jobs.secret_places import Server, serving, shows


def asked(server: Server, url: str | dict[str, str]) -> Completion:
    async def ask() -> Completion:
        config = OpenAIConfig.model_validate({"kind": "openai", "model": "m", "url": url, "retries": 0})
        engine = build_engine(config.model_copy(update={"api_key_env": "SERVER_KEY"}))
        try:
            return await engine.generate(Prompt.user("hello", Sampling(), 0))
        finally:
            await engine.close()

    return asyncio.run(ask())


def test_login_query_and_key_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", "okapi-bearer")
    with serving(b"") as server:
        assert asked(server, server.url("/v1")).text
        assert asked(server, server.url("/v1/?key=okapi+query", "me:okapi%40password")).text
        monkeypatch.setenv("SERVER_URL", server.url("/v2", "okapi"))
        assert asked(server, {"from": "SERVER_URL"}).text
    assert server.asked == [
        ("/v1/chat/completions", "Bearer okapi-bearer"),
        ("/v1/chat/completions?key=okapi+query", "Basic bWU6b2thcGlAcGFzc3dvcmQ="),
        ("/v2/chat/completions", "Basic b2thcGk6"),
    ]


@pytest.mark.parametrize(("status", "kind"), [(400, PromptRefused), (401, EngineDied), (500, EngineDied)])
@pytest.mark.parametrize("login", ["", "me:okapi-password"])
def test_what_a_server_repeats_is_masked(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: type[EngineError], login: str
) -> None:
    monkeypatch.setenv("SERVER_KEY", "okapi-bearer")
    with serving(b"") as server:
        server.fails, url = status, server.url("/v1?key=okapi-query", login)
        with pytest.raises(kind) as raised:
            asked(server, url)
    text = "".join(traceback.format_exception(raised.value))
    assert "never for" in text
    assert not shows(text)


def test_a_server_that_is_gone_is_named_without_its_login() -> None:
    with serving(b"") as server:
        url = server.url("/v1?key=okapi-query", "me:okapi-password")
    with pytest.raises(EngineDied, match=r"the server at http://127\.0\.0\.1:\d+/v1 does not answer") as raised:
        asked(server, url)
    assert not shows("".join(traceback.format_exception(raised.value)))


def test_a_missing_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVER_URL", raising=False)
    with serving(b"") as server, pytest.raises(ConfigError, match="url: there is no variable SERVER_URL"):
        asked(server, {"from": "SERVER_URL"})
