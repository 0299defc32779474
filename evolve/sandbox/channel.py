"""Messages between a sandbox's host and its server: a 4-byte length, then JSON, over a stream socket."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_HEADER = struct.Struct("!I")


def send(sock: socket.socket, message: Any) -> None:
    """Send one message. JSON's escapes carry lone surrogates, which UTF-8 would refuse."""
    body = json.dumps(message).encode("ascii")
    sock.sendall(_HEADER.pack(len(body)) + body)


def receive(sock: socket.socket) -> Any:
    """Wait for one message. Raises EOFError where the other side has gone, TimeoutError as the socket says."""
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
