"""Checksums of files, and JSON objects that carry their own."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ray_jobs.errors import DamagedOutput


def checksum(data: bytes) -> str:
    """BLAKE2b-128, in hex."""
    return new_checksum(data).hexdigest()


def new_checksum(data: bytes = b"") -> hashlib.blake2b:
    """The checksum of `data`, to which more may be added."""
    return hashlib.blake2b(data, digest_size=16)


def to_checked(value: Any) -> bytes:
    """JSON below a line with its checksum, so that no flipped bit passes for something else."""
    text = json.dumps(value).encode()
    return f"{checksum(text)}\n".encode() + text


def from_checked(data: bytes, source: str) -> Any:
    """The opposite of `to_checked`. Raises DamagedOutput, naming `source`, where the bytes are not what was written."""
    stated, _, text = data.partition(b"\n")
    if stated != checksum(text).encode():
        raise DamagedOutput(f"{source}: is not what was written, its checksum differs")
    return json.loads(text)
