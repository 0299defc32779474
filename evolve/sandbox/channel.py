"""Messages between a sandbox's host and its server, over a stream socket: a secret, a 4-byte length, then JSON.

Each request carries a secret of its own, drawn for it alone, and only the reply that repeats it counts. The server
keeps it on a page that a fork does not get, and copies it nowhere else, so that no worker ever holds the secret of
a reply that is still to come. Whoever else could write to the socket would have to guess 256 bits.
"""

from __future__ import annotations

import hmac
import json
import mmap
import secrets
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!I")
_SECRET_BYTES = 32


class ForgedReply(ConnectionError):
    """What came was not written by the server, or was not its answer to this request."""


def page_for_secret() -> memoryview:
    """Room for one secret that no process forked from this one has: its memory lacks the page (madvise(2))."""
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.madvise(mmap.MADV_DONTFORK)
    return memoryview(page)[:_SECRET_BYTES]


def room_for_secret() -> memoryview:
    """Room for one secret in ordinary memory, while there is no function from which to hide it."""
    return memoryview(bytearray(_SECRET_BYTES))


def ask(sock: socket.socket, message: Any) -> Any:
    """Send one request and wait for its reply.

    Raises ForgedReply for what does not repeat the secret, before any of it is read as a message; EOFError where
    the other side has gone; TimeoutError as the socket says.
    """
    secret = secrets.token_bytes(_SECRET_BYTES)
    send(sock, message, secret)
    if not hmac.compare_digest(_exactly(sock, _SECRET_BYTES), secret):
        raise ForgedReply("an answer came that the sandbox's server did not write")
    return _message(sock)


def receive(sock: socket.socket, secret: memoryview) -> Any:
    """Wait for one request, whose secret goes straight into `secret`. Raises EOFError where the host has gone."""
    _fill(sock, secret)
    return _message(sock)


def send(sock: socket.socket, message: Any, secret: memoryview | bytes) -> None:
    """Send one message under `secret`. JSON's escapes carry lone surrogates, which UTF-8 would refuse."""
    body = json.dumps(message).encode("ascii")
    sock.sendall(secret)
    sock.sendall(_HEADER.pack(len(body)) + body)


def _message(sock: socket.socket) -> Any:
    (length,) = _HEADER.unpack(_exactly(sock, _HEADER.size))
    return json.loads(_exactly(sock, length))


def _exactly(sock: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        chunk = sock.recv(min(size - len(body), 1 << 20))
        if not chunk:
            raise EOFError("the other side closed the channel")
        body += chunk
    return bytes(body)


def _fill(sock: socket.socket, room: memoryview) -> None:
    filled = 0
    while filled < len(room):
        count = sock.recv_into(room[filled:])
        if not count:
            raise EOFError("the other side closed the channel")
        filled += count
