"""An HTTP proxy on loopback that answers with the faults of an object store before, or instead of, passing on."""

from __future__ import annotations

import fnmatch
import http.client
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from random import Random
from urllib.parse import unquote, urlsplit

from tests.http_servers import http_server

LONGEST_HOLD = 300.0
"""Seconds after which a held request is dropped, so that a test that forgets it ends."""
BODY_KEPT = 1 << 16
"""Bytes of a request's body that a proxy keeps."""


@dataclass(frozen=True)
class Fault:
    """An answer given in place of the server's, after `delay` seconds.

    The body is S3's form of `code` where `body` is None. `after` passes the request on first and loses its answer;
    `lost` does so and closes the connection without any; `applied_after` closes it at once and passes the request on
    that many seconds later, as a network may that held it back.
    """

    status: int = 503
    code: str = "SlowDown"
    after: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    delay: float = 0.0
    lost: bool = False
    applied_after: float | None = None

    @property
    def content(self) -> bytes:
        """The body of the answer."""
        if self.body is not None:
            return self.body
        return f"<Error><Code>{self.code}</Code><Message>on purpose</Message></Error>".encode()


OVERLOADED = (Fault(500, "InternalError"), Fault(503, "SlowDown"))


@dataclass
class Hold:
    """Takes the next PUT whose path matches `pattern` and gives no answer until `dropped`, then closes on it.

    `forward` passes the request on first: the store has the object, and its writer never hears of it. `late` passes
    it on when it is dropped, as a network may that held it back.
    """

    pattern: str
    forward: bool = False
    late: bool = False
    taken: threading.Event = field(default_factory=threading.Event)
    dropped: threading.Event = field(default_factory=threading.Event)
    forwarded: threading.Event = field(default_factory=threading.Event)

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is the one; true once."""
        if method != "PUT" or self.taken.is_set() or not fnmatch.fnmatch(path, self.pattern):
            return False
        self.taken.set()
        return True


@dataclass
class FaultProxy:
    """`faults` are used up one a request of `method`; `requests` counts all of those.

    A `failing` share of all requests, drawn from `random`, ends as one of OVERLOADED. While the store is `away`
    connections are closed without an answer. `hold` is for one PUT. Headers in `ignored` (small letters) are not passed
    on, as by a store that does not know them; a request with a header in `refused` is answered with that fault.
    Each request whose path or query matches `broken` is answered with 503, and counted in `failed`.
    `bodies` says how those of the counted requests begin.
    """

    url: str
    method: str = "PUT"
    faults: list[Fault] = field(default_factory=list)
    requests: int = 0
    failing: float = 0.0
    failed: int = 0
    random: Random = field(default_factory=lambda: Random(0))
    away: bool = False
    broken: str = ""
    hold: Hold | None = None
    ignored: set[str] = field(default_factory=set)
    refused: dict[str, Fault] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    late: list[threading.Timer] = field(default_factory=list)

    def fault(self, method: str, path: str, headers: Iterable[str], body: bytes) -> Fault | None:
        """What is to happen to the next request."""
        if self.broken and fnmatch.fnmatch(unquote(path), self.broken):
            self.failed += 1
            return Fault()
        if method == self.method:
            self.requests += 1
            self.bodies.append(body[:BODY_KEPT])
            if self.faults:
                return self.faults.pop(0)
        for name in headers:
            if name.lower() in self.refused:
                return self.refused[name.lower()]
        if self.random.random() >= self.failing:
            return None
        self.failed += 1
        return self.random.choice(OVERLOADED)


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """A running proxy in front of the server at `target`."""
    handler = type("Handler", (_Handler,), {})
    with http_server(handler) as server:
        proxy = FaultProxy(f"http://127.0.0.1:{server.server_port}")
        handler.proxy, handler.target = proxy, urlsplit(target).netloc  # type: ignore[attr-defined]
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy
    target: str

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hold = self.proxy.hold
        if self.proxy.away:
            self.close_connection = True
        elif hold and hold.takes(self.command, self.path):
            self._keep_waiting(hold, body)
        else:
            self._serve_or_fail(body)

    def _keep_waiting(self, hold: Hold, body: bytes) -> None:
        if hold.forward:
            self._forward(body)
        dropped = hold.dropped.wait(LONGEST_HOLD)
        if hold.late and dropped:
            self._forward(body)
            hold.forwarded.set()
        self.close_connection = True

    def _serve_or_fail(self, body: bytes) -> None:
        fault = self.proxy.fault(self.command, self.path, self.headers.keys(), body)
        if fault is None:
            self._answer(*self._forward(body))
            return
        if fault.after or fault.lost:
            self._forward(body)
        if fault.applied_after is not None:
            self._forward_later(body, fault.applied_after)
        time.sleep(fault.delay)
        if fault.lost or fault.applied_after is not None:
            self.close_connection = True
        else:
            self._answer(fault.status, {"Content-Type": "application/xml", **dict(fault.headers)}, fault.content)

    def _forward_later(self, body: bytes, seconds: float) -> None:
        timer = threading.Timer(seconds, self._forward, [body])
        self.proxy.late.append(timer)
        timer.start()

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {k: v for k, v in self.headers.items() if k.lower() not in self.proxy.ignored}
        connection = http.client.HTTPConnection(self.target)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        dropped = {"transfer-encoding", "connection", "date", "server"}
        return answer.status, {k: v for k, v in answer.getheaders() if k.lower() not in dropped}, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        if self.command != "HEAD":
            headers = {**headers, "Content-Length": str(len(content))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        pass
