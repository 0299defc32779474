"""What tests of secrets share: a server that repeats what it was sent, and a look at all that may show a secret."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.http_servers import http_server

MARK = "okapi"
"""Part of every planted secret."""


def _in_base64(shift: int) -> bytes:
    """The characters in which the mark shows where `shift` bytes stand before it."""
    first, last = -(-shift * 8 // 6), (shift + len(MARK)) * 8 // 6
    return base64.b64encode(bytes(shift) + MARK.encode())[first:last]


FORMS = (MARK.encode(), *(_in_base64(shift) for shift in range(3)))


@dataclass
class Server:
    """A server of chat completions and of one file of seeds, on loopback. Without `fails` it answers."""

    seeds: bytes
    port: int = 0
    fails: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Authorization header of every request."""

    def url(self, path: str, login: str = "") -> str:
        return f"http://{f'{login}@' if login else ''}127.0.0.1:{self.port}{path}"


@contextmanager
def serving(seeds: bytes) -> Iterator[Server]:
    """The server while it runs."""
    state = Server(seeds)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._send(200, state.seeds)

        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Authorization", "")))
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            part = state.seeds[int(first) : int(last or len(state.seeds)) + 1]
            whole = len(part) == len(state.seeds)
            place = {} if whole else {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(state.seeds)}"}
            self._send(200 if whole else 206, part, **place)

        def do_POST(self) -> None:
            asked = self.path, self.headers.get("Authorization", "")
            state.asked.append(asked)
            self.rfile.read(int(self.headers["Content-Length"]))
            if state.fails:
                echo = {"error": {"message": f"never for {asked} at {state.url(self.path, 'me:okapi-echo')}"}}
                return self._send(state.fails, json.dumps(echo).encode())
            message = {"role": "assistant", "content": f"Write {len(state.asked)} poems about rivers."}
            reply = {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
            }
            return self._send(200, json.dumps(reply).encode())

        def _send(self, code: int, body: bytes, **headers: str) -> None:
            self.send_response(code)
            for name, value in {"Content-Type": "application/json", "Accept-Ranges": "bytes", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http_server(Handler) as server:
        state.port = server.server_port
        yield state


@contextmanager
def watched_titles() -> Iterator[set[str]]:
    """The titles and arguments with a planted secret of all processes that run in the meantime."""
    found, over = set[str](), threading.Event()

    def look() -> None:
        while not over.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    title = place.read_bytes()
                except OSError:
                    continue
                if place.parent.name != str(os.getpid()) and shows(title):
                    found.add(title.replace(b"\0", b" ").decode(errors="replace"))
            time.sleep(0.1)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def shows(content: bytes | str) -> bool:
    """Whether a planted secret is in `content`, as it is or in base64."""
    raw = content.encode() if isinstance(content, str) else content
    return any(form in raw for form in FORMS)


def as_text(name: str, content: bytes) -> str:
    """A file's content as text, the rows of a Parquet file included."""
    if name.endswith(".parquet"):
        return str(pq.read_table(pa.BufferReader(content)).to_pylist())
    return content.decode("latin-1")


def files_that_show(folder: Path) -> list[str]:
    """The files below `folder` with a planted secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if shows(as_text(path.name, path.read_bytes()))]
