"""An HTTP proxy on loopback that answers with the faults of an object store before, or instead of, passing on."""

from __future__ import annotations

import fnmatch
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

LONGEST_HOLD = 300.0
"""Seconds after which a held request is dropped, so that a test that forgets it ends."""


@dataclass(frozen=True)
class Fault:
    """An answer given in place of the server's; `after` passes the request on first and loses its answer."""

    status: int
    code: str
    after: bool = False


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
    connections are closed without an answer. `hold` is for one PUT.
    """

    url: str
    method: str = "PUT"
    faults: list[Fault] = field(default_factory=list)
    requests: int = 0
    failing: float = 0.0
    failed: int = 0
    random: Random = field(default_factory=lambda: Random(0))
    away: bool = False
    hold: Hold | None = None

    def fault(self, method: str) -> Fault | None:
        """What is to happen to the next request."""
        counted = method == self.method
        self.requests += counted
        if counted and self.faults:
            return self.faults.pop(0)
        if self.random.random() >= self.failing:
            return None
        self.failed += 1
        return self.random.choice(OVERLOADED)


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """A running proxy in front of the server at `target`."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_port}")
    handler.proxy, handler.target = proxy, urlsplit(target).netloc  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield proxy
    server.shutdown()
    server.server_close()
    thread.join()


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
        fault = self.proxy.fault(self.command)
        if fault is None or fault.after:
            status, headers, content = self._forward(body)
        if fault is not None:
            text = f"<Error><Code>{fault.code}</Code><Message>on purpose</Message></Error>"
            status, headers, content = fault.status, {"Content-Type": "application/xml"}, text.encode()
        self._answer(status, headers, content)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.target)
        connection.request(self.command, self.path, body, dict(self.headers))
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
