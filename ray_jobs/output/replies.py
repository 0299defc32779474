"""The journal of replies in an output: what engines answered for rows that no part holds yet, and what ended engines.

It is a cache. A file that is damaged, gone, or of another run is passed over; nothing but time and tokens depends on
it. Files are named by the first and the last of the rows whose replies they hold, so that whoever looks for a row, or
wants to remove what is done, need not open them. No takeover touches them: what an engine answered holds for whoever
goes on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evolve.replies import Reply
from ray_jobs.output.file_names import REPLIES, REPLY_FORM, Tag, new_name
from ray_jobs.storage.store import Store

FORMAT = 2
DIGEST_BYTES = 16
CODEC = "zstd"
_FORM = re.compile(REPLY_FORM, re.ASCII)


@dataclass(frozen=True)
class _Head:
    """The first line of a file of replies; each of the others is a reply."""

    format: int
    run_id: str


class EncodedReply(msgspec.Struct, frozen=True, gc=False):
    """A reply as it is written, and the row whose it is."""

    row: int
    line: bytes


_encoder = msgspec.json.Encoder()
_heads, _replies = msgspec.json.Decoder(_Head), msgspec.json.Decoder(Reply)


@dataclass(frozen=True)
class ReplyFile:
    """A file of the journal, with the first and the last of its rows: their replies, or the death of an engine."""

    path: str
    first: int
    last: int
    death: bool = False

    def holds_any(self, rows: npt.NDArray[np.int64]) -> bool:
        """Whether it may hold replies of any of `rows`, which are sorted."""
        place = int(np.searchsorted(rows, self.first))
        return place < len(rows) and int(rows[place]) <= self.last


def reply_files(store: Store, stage: str = "") -> list[ReplyFile]:
    """The files of the journal, or of one stage's, by their names alone."""
    folder = f"{REPLIES}/{stage}" if stage else REPLIES
    found = ((path, _FORM.fullmatch(path)) for path, _ in store.list(folder))
    return [ReplyFile(path, int(form[2]), int(form[3]), form[4] == "died") for path, form in found if form]


def encode_reply(reply: Reply) -> EncodedReply | None:
    """A reply as a line of a file; None for one whose text is no Unicode, as servers may send it."""
    try:
        return EncodedReply(reply.row, _encoder.encode(reply))
    except UnicodeEncodeError:
        return None


def write_replies(store: Store, tag: Tag, stage: str, run_id: str, replies: Sequence[EncodedReply]) -> str:
    """Write a new file of the journal, and return its path. Raises StorageError."""
    body = _packed(b"\n".join([_encoder.encode(_Head(FORMAT, run_id)), *(reply.line for reply in replies)]))
    path = _path(tag, stage, [reply.row for reply in replies], "zst")
    store.write_bytes(path, _digest(body) + body)
    return path


def read_replies(store: Store, path: str, run_id: str) -> list[Reply]:
    """The replies in a file. Raises ValueError where it is damaged or of another run, StorageError."""
    content = store.read_bytes(path)
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if digest != _digest(body):
        raise ValueError("is not what was written")
    try:
        head, _, lines = _unpacked(body).partition(b"\n")
        found = _heads.decode(head)
        if (found.format, found.run_id) != (FORMAT, run_id):
            raise ValueError("is of another run")
        return _replies.decode_lines(lines)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"cannot be read: {error}") from None


@dataclass(frozen=True)
class Death:
    """An engine's: the rows that it had under way, and its last words."""

    run_id: str
    rows: list[int]
    words: str


def write_death(store: Store, tag: Tag, stage: str, death: Death) -> None:
    """Note an engine's death. Raises StorageError."""
    store.write_bytes(_path(tag, stage, death.rows, "died"), _encoder.encode(death))


def read_death(store: Store, path: str, run_id: str) -> Death:
    """What is noted of a death. Raises ValueError where it is damaged or of another run, StorageError."""
    try:
        death = msgspec.json.decode(store.read_bytes(path), type=Death)
    except msgspec.MsgspecError as error:
        raise ValueError(f"cannot be read: {error}") from None
    if death.run_id != run_id:
        raise ValueError("is of another run")
    return death


def _path(tag: Tag, stage: str, rows: Sequence[int], ending: str) -> str:
    return f"{REPLIES}/{stage}/{tag}-{min(rows):012d}-{max(rows):012d}-{new_name()}.{ending}"


def done_files(store: Store, done: npt.NDArray[np.bool_]) -> list[ReplyFile]:
    """The files whose rows are all done, as `done` says by plan row; rows that are planned later are not."""
    return [file for file in reply_files(store) if file.last < len(done) and done[file.first : file.last + 1].all()]


def remove_done(store: Store, done: npt.NDArray[np.bool_], may: Callable[[], None]) -> None:
    """Remove the files whose rows are all done, as `done` says by plan row; `may` raises where we must not."""
    if files := done_files(store, done):
        may()
        store.delete([file.path for file in files])


def forget(store: Store, rows: npt.NDArray[np.int64]) -> None:
    """Remove the files that may hold replies of `rows`, which are to be asked anew."""
    wanted = np.unique(rows)
    store.delete([file.path for file in reply_files(store) if file.holds_any(wanted)])


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def _packed(content: bytes) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, CODEC) as stream:
        stream.write(content)
    return bytes(buffer.getvalue())


def _unpacked(body: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(body), CODEC) as stream:
        return bytes(stream.read())
