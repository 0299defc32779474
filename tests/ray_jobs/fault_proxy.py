"""An HTTP proxy on loopback that answers with the faults of an object store before, or instead of, passing on."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Fault:
    """An answer given in place of the server's; `after` passes the request on first and loses its answer."""

    status: int
    code: str
    after: bool = False


@dataclass
class FaultProxy:
    """`faults` are used up one a request of `method`; `requests` counts all of those."""

    url: str
    method: str = "PUT"
    faults: list[Fault] = field(default_factory=list)
    requests: int = 0


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
        counted = self.command == self.proxy.method
        self.proxy.requests += counted
        fault = self.proxy.faults.pop(0) if counted and self.proxy.faults else None
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
