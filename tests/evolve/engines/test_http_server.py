"""A client of one HTTP server, against a real one on loopback that answers as each test says."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth, web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from evolve.engines.http_server import Gone, HttpServer, Refused, said
from evolve.engines.http_servers import HttpServers
from evolve.errors import SettingError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ask = Callable[[HttpServers], Awaitable[object]]


def serve(
    handler: Handler,
    ask: Ask,
    *,
    host: str = "127.0.0.1",
    login: str = "",
    query: str = "",
    key: str = "key",
    **settings: float,
) -> object:
    """What `ask` gives of a server with `handler`."""

    async def served() -> object:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, host, 0)
        await site.start()
        port = runner.addresses[0][1]
        name = f"[{host}]" if ":" in host else host
        url = f"http://{login}{name}:{port}/v1{query}"
        server = client(url, key, **{"timeout": 5, "retries": 2, "most": 64, **settings})
        try:
            return await ask(server)
        finally:
            await server.close()
            await runner.cleanup()

    return asyncio.run(served())


def client(url: str, key: str, timeout: float, retries: float, most: float) -> HttpServers:
    return HttpServers([HttpServer(url, key, timeout, int(most))], int(retries))


def post(server: HttpServers) -> Awaitable[bytes]:
    return server.post("/chat/completions", b"{}", bytes)


class Answers:
    """Answers one after the other, the last one for ever; `seen` are the requests."""

    def __init__(self, *answers: tuple[int, str, dict[str, str]]) -> None:
        self._answers, self.seen, self.moments = list(answers), list[web.Request](), list[float]()

    async def __call__(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        self.moments.append(time.monotonic())
        status, text, headers = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return web.Response(status=status, text=text, headers=headers)


GOOD = (200, "{}", dict[str, str]())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_request_carries_key_and_query(host: str) -> None:
    answers = Answers(GOOD)
    assert serve(answers, post, host=host, query="?version=2") == b"{}"
    (request,) = answers.seen
    assert (request.headers["Authorization"], request.query["version"]) == ("Bearer key", "2")


def test_a_login_goes_into_the_header_and_into_no_message() -> None:
    answers = Answers((400, "no", {}))
    with pytest.raises(Refused) as refused:
        serve(answers, post, login="me:pass%20word@")
    assert answers.seen[0].headers["Authorization"] == encode_basic_auth("me", "pass word")
    assert "pass" not in str(refused.value)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 529])
def test_what_may_pass_is_asked_again(status: int) -> None:
    answers = Answers((status, "later", {"Retry-After": "0"}), GOOD)
    assert serve(answers, post) == b"{}"
    assert len(answers.seen) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 422, 501])
def test_what_stays_is_asked_once(status: int) -> None:
    answers = Answers((status, '{"error": {"message": "too long"}}', {}))
    with pytest.raises(Refused, match="too long") as refused:
        serve(answers, post)
    assert (refused.value.status, len(answers.seen)) == (status, 1)


def test_a_server_that_stays_busy_is_given_up() -> None:
    answers = Answers((503, "overloaded", {"Retry-After": "0"}))
    with pytest.raises(Gone, match="503: overloaded"):
        serve(answers, post)
    assert len(answers.seen) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "0.4"},
        {"retry-after-ms": "400"},
        # dates have whole seconds
        {"Retry-After": lambda: formatdate(time.time() + 1.99, usegmt=True)},
    ],
)
def test_a_server_is_left_alone_for_as_long_as_it_asks(headers: dict[str, object]) -> None:
    asked = {name: str(value() if callable(value) else value) for name, value in headers.items()}
    answers = Answers((429, "later", asked), GOOD)
    serve(answers, post)
    assert answers.moments[1] - answers.moments[0] >= 0.35


def test_a_pause_of_an_hour_is_not_waited_for() -> None:
    answers = Answers((429, "later", {"Retry-After": "3600"}), GOOD)
    began = time.monotonic()
    serve(answers, post)
    assert time.monotonic() - began < 5


def test_an_answer_that_does_not_come_in_time_is_asked_for_again() -> None:
    calls = list[float]()

    async def slow_once(request: web.Request) -> web.Response:
        calls.append(time.monotonic())
        if len(calls) == 1:
            await asyncio.sleep(1)
        return web.Response(text="{}")

    assert serve(slow_once, post, timeout=0.3) == b"{}"
    assert len(calls) == 2


def test_a_connection_that_was_closed_meanwhile_costs_no_try() -> None:
    calls = list[int]()

    async def closes(request: web.Request) -> web.StreamResponse:
        calls.append(1)
        if len(calls) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="{}")

    assert serve(closes, post, retries=0) == b"{}"


@pytest.mark.parametrize(
    "url",
    ["", "http://", "http://x y/v1", "http://x:port/v1", "http://[::1/v1", "ftp://x/v1", "x:8000/v1", "http://:80/"],
)
def test_an_address_that_is_none_is_told_before_anything_is_asked(url: str) -> None:
    with pytest.raises(SettingError, match=r"^url: expected an address"):
        HttpServer(url, "key", timeout=1, most=1)


def test_a_key_from_a_file_loses_its_line_end_and_one_that_no_header_holds_is_told() -> None:
    answers = Answers(GOOD)
    serve(answers, post, key="key\n")
    assert answers.seen[0].headers["Authorization"] == "Bearer key"
    with pytest.raises(SettingError, match=r"^api_key_env: ") as told:
        HttpServer("http://x/v1", "hidden\nkey", timeout=1, most=1)
    assert "hidden" not in str(told.value)


def test_a_proxy_of_the_environment_is_gone_through_and_not_where_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    through = list[str]()

    async def proxied(request: web.BaseRequest) -> web.Response:
        through.append(str(request.url))
        return web.Response(text="{}")

    async def ask() -> None:
        proxy = web.ServerRunner(web.Server(proxied))
        await proxy.setup()
        site = web.TCPSite(proxy, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.addresses[0][1]}")
        server = client("http://far.example/v1", "key", timeout=5, retries=0, most=1)
        assert await post(server) == b"{}"
        await server.close()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        near = client("http://127.0.0.1:9/v1", "key", timeout=2, retries=0, most=1)
        with pytest.raises(Gone):
            await post(near)
        await near.close()
        await proxy.cleanup()

    asyncio.run(ask())
    assert through == ["http://far.example/v1/chat/completions"]


TLS = """
import asyncio, sys
from evolve.engines.http_server import HttpServer, Refused
from evolve.engines.http_servers import HttpServers
async def ask():
    server = HttpServers([HttpServer(sys.argv[1], "key", timeout=5, most=1)], retries=0)
    try:
        print((await server.post("/chat/completions", b"{}", bytes)).decode())
    except Refused as refused:
        print(refused)
    finally:
        await server.close()
asyncio.run(ask())
"""


@pytest.mark.slow
def test_a_certificate_counts_where_the_environment_trusts_it(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def told(trusted: dict[str, str]) -> str:
        runner = web.ServerRunner(web.Server(Answers(GOOD)))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/v1"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TLS, url, env={**os.environ, **trusted}, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        await runner.cleanup()
        return out.decode()

    assert "CERTIFICATE_VERIFY_FAILED" in asyncio.run(told({}))
    assert asyncio.run(told({"SSL_CERT_FILE": str(certificate)})) == "{}\n"


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 for a day, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = builder.not_valid_after(now + timedelta(days=1)).add_extension(names, critical=False).sign(key, SHA256())
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tls.pem").write_bytes(signed.public_bytes(Encoding.PEM) + plain)
    return folder / "tls.pem"


def test_nobody_there_is_told() -> None:
    async def gone() -> None:
        server = client("http://127.0.0.1:9/v1", "key", timeout=2, retries=0, most=1)
        try:
            await post(server)
        finally:
            await server.close()

    with pytest.raises(Gone, match="Cannot connect"):
        asyncio.run(gone())


def test_no_more_requests_than_allowed_are_under_way_and_all_are_in_the_end() -> None:
    under_way, most = 0, 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return web.Response(text="{}")

    async def many(server: HttpServers) -> int:
        return len(await asyncio.gather(*(post(server) for _ in range(40))))

    assert serve(handler, many, most=4) == 40
    assert most == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": {"message": "no such model"}}', "no such model"),
        (b'{"error": "overloaded"}', "overloaded"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b'{"error": {"message": "no\\u001b[31m such\\r\\nmodel"}}', "no [31m such model"),
        (b"[" * 100_000, "[" * 500),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (b"", "no message"),
    ],
)
def test_what_a_server_says(content: bytes, message: str) -> None:
    assert said(content) == message
