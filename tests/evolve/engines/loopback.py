"""A server on loopback that answers `/chat/completions` as a test says, and keeps what it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_servers import http_server

Answer = tuple[int, dict[str, Any]] | bytes


class Loopback:
    """`answer` makes status and body of each request's body, or the bytes after which the connection is closed.

    `bodies` are the requests so far.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Answer]) -> None:
        self.answer, self.bodies = answer, list[dict[str, Any]]()
        self.url = ""


@contextmanager
def loopback(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[Loopback]:
    """A server for as long as the block runs."""
    served = Loopback(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.bodies.append(body)
            answer = served.answer(body)
            if isinstance(answer, bytes):
                self.wfile.write(answer)
                return
            status, content = answer
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http_server(Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield served


def completion(
    finish_reason: str = "stop", usage: dict[str, Any] | None = None, **message: Any
) -> tuple[int, dict[str, Any]]:
    """A good answer with one choice."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    counts = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12} if usage is None else usage
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": counts}
    return 200, body
