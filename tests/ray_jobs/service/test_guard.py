"""The gate: tokens, cookies, hosts, origins, and how much at once."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from ray_jobs.service.auth import COOKIE, Guard, Open, Refusal, Usage
from ray_jobs.service.config import ServiceConfig
from ray_jobs.service.tokens import digest
from tests.ray_jobs.service.warm import TOKEN, Warm


@pytest.fixture(scope="module")
def warm() -> Warm:
    return Warm({"hosts": ["evolve.example.org"], "limits": {"body_bytes": 2000}})


@pytest.mark.parametrize(
    "path", ["/v1/engines", "/v1/models", "/v1/runs", "/v1/usage", "/openapi.json", "/v1", "/v1/runs/x/events"]
)
@pytest.mark.parametrize("token", [None, "x" * 20, ""])
def test_nothing_is_told_to_whoever_has_no_token(warm: Warm, path: str, token: str | None) -> None:
    answer = warm.client(token).get(path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1/evolve", "/v1/respond", "/v1/score", "/v1/chat/completions", "/v1/runs"])
def test_nor_does_anything_begin(warm: Warm, path: str) -> None:
    assert warm.client(None).post(path, json={}).status_code == 401
    # a service without a cluster starts no runs
    assert warm.client().post(path, json={}).status_code == (404 if path == "/v1/runs" else 400)


@pytest.mark.parametrize("path", ["/", "/login", "/runs/x", "/records/x", "/static/app.js", "/healthz"])
def test_pages_and_health_need_none(warm: Warm, path: str) -> None:
    assert warm.client(None).get(path).status_code == 200


def test_a_token_that_is_revoked_counts_no_longer() -> None:
    warm = Warm()
    client = warm.client()
    assert client.get("/v1/engines").status_code == 200
    del warm.digests["anna"]
    assert client.get("/v1/engines").status_code == 401


def test_a_person_logs_in_with_a_token_and_out(warm: Warm) -> None:
    client = warm.client(None)
    assert client.post("/v1/login", json={"token": "wrong" * 5}).status_code == 401
    answer = client.post("/v1/login", json={"token": TOKEN})
    cookie = answer.headers["set-cookie"]
    assert answer.json() == {"name": "anna"}
    assert all(word in cookie for word in (COOKIE, "HttpOnly", "SameSite=strict"))
    assert "Secure" not in cookie
    assert client.get("/v1/engines").status_code == 200
    client.post("/v1/logout")
    assert client.get("/v1/engines").status_code == 401
    behind = client.post("/v1/login", json={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in behind.headers["set-cookie"]
    assert "hidden" not in client.post("/v1/login", json={"token": ["hidden"]}).text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.org"}, 403),
        ({"Host": "evolve.example.org"}, 200),
        ({"Host": "evolve.example.org:443"}, 200),
        ({"Host": "localhost:8400"}, 200),
        ({"Host": "[::1]:8400"}, 200),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://127.0.0.1:8400"}, 200),
    ],
)
def test_other_names_and_pages_of_other_sites_are_refused(warm: Warm, headers: dict[str, str], status: int) -> None:
    assert warm.client().get("/v1/engines", headers=headers).status_code == status


def test_a_body_may_not_be_too_large_whatever_it_says_of_its_length(warm: Warm) -> None:
    client, large = warm.client(), b'{"pairs": [' + b" " * 3000 + b"]}"
    answer = client.post("/v1/score", content=large)
    assert (answer.status_code, "2,000" in answer.json()["error"]["message"]) == (413, True)
    assert client.post("/v1/score", content=iter([large[:1500], large[1500:]])).status_code == 413


def test_answers_carry_a_policy_and_the_id_of_their_request(warm: Warm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ray_jobs.service.access")
    answer = warm.client().get("/v1/engines", headers={"X-Request-Id": "my-own_1"})
    assert answer.headers["x-request-id"] == "my-own_1"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src 'self'" in warm.client().get("/").headers["content-security-policy"]
    assert warm.client().get("/v1/engines", headers={"X-Request-Id": "a\tb"}).headers["x-request-id"] != "a\tb"
    line = caplog.messages[0]
    assert all(word in line for word in ("my-own_1", "anna", "GET /v1/engines", "200"))
    assert TOKEN not in caplog.text


def test_what_is_refused_is_counted() -> None:
    warm = Warm()
    client = warm.client(None)
    client.get("/v1/engines")
    client.get("/v1/engines", headers={"Host": "evil"})
    client.post("/v1/login", json={"token": "wrong" * 5})
    told = warm.client().get("/v1/usage").json()
    assert told["refused"] == {"token": 1, "host": 1, "login": 1}
    assert told["tokens"]["anna"] == {"requests": 1, "under_way": 1}


def test_a_token_has_its_share_of_what_may_be_under_way() -> None:
    usage = Usage(4, 0.5)
    for name in ("anna", "anna", "bert"):
        usage.enter(name)
    for name, cause in (("anna", "share"), ("carl", None), ("dora", "requests")):
        if cause is None:
            usage.enter(name)
            continue
        with pytest.raises(Refusal) as refused:
            usage.enter(name)
        assert (refused.value.status, refused.value.counted) == (429, cause)
    usage.leave("anna")
    usage.enter("anna")


def test_once_it_closes_nothing_begins() -> None:
    usage = Usage(4, 0.5)
    usage.closing = True
    with pytest.raises(Refusal) as refused:
        usage.enter("anna")
    assert refused.value.status == 503


def test_streams_of_news_end_once_it_closes() -> None:
    usage, sent = Usage(4, 0.5), list[str]()

    async def news(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            usage.closing = True
        sent.append("ended")

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is said")

    digests = {"anna": digest(TOKEN)}
    guard = Guard(news, ServiceConfig(), lambda: digests, Open(), usage)
    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    asyncio.run(guard({"type": "http", "method": "GET", "path": "/v1/x", "headers": headers}, receive, send))
    assert sent == ["ended"]
    assert usage.under_way.total() == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"pairs": []}, "pairs"),
        ({"pairs": [{"instruction": "a"}]}, "pairs.0.response"),
        ({"pears": []}, "pairs"),
        ("not JSON", "0"),
    ],
)
def test_wrong_fields_are_told_one_by_one(warm: Warm, body: Any, field: str) -> None:
    content = {"content": body} if isinstance(body, str) else {"json": body}
    answer = warm.client().post("/v1/score", **content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert field in [item["field"] for item in answer.json()["error"]["details"]]


def test_what_is_not_there_is_told_as_all_errors(warm: Warm) -> None:
    assert warm.client().get("/nothing").json()["error"]["type"] == "not_found"
    assert warm.client().put("/v1/engines").json()["error"]["type"] == "bad_request"
