"""The journal of replies as files: whole, damaged, of others; and which of them go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evolve.confidence import Confidence
from evolve.records import Completion
from evolve.replies import Reply
from ray_jobs.errors import LeaseLost
from ray_jobs.output import ownership
from ray_jobs.output.file_names import Tag, epoch_of
from ray_jobs.output.replies import encode_reply, forget, read_replies, remove_done, reply_files, write_replies
from ray_jobs.storage.store import Store, open_store

TAG = Tag(2, "0123456789ab")
COMPLETION = Completion("Nile \N{GRINNING FACE}", "stop", 5, 3, Confidence.of([0.5, 0.25]))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def write(store: Store, *rows: int, stage: str = "evolve_a", run: str = "run") -> str:
    replies = [Reply(row, "aa", COMPLETION) for row in rows] + [Reply(rows[0], "bb", refused="too long")]
    return write_replies(store, TAG, stage, run, [encoded for reply in replies if (encoded := encode_reply(reply))])


def test_replies_come_back_as_they_were(store: Store) -> None:
    path = write(store, 3, 9)
    again = read_replies(store, path, "run")
    assert again == [Reply(3, "aa", COMPLETION), Reply(9, "aa", COMPLETION), Reply(3, "bb", refused="too long")]


def test_a_reply_that_is_no_unicode_is_left_out() -> None:
    assert encode_reply(Reply(4, "cc", replace(COMPLETION, text="Nile \ud83d"))) is None


def test_files_are_ours_and_no_takeover_removes_them(store: Store) -> None:
    path = write(store, 3)
    assert ownership.is_ours(path)
    assert epoch_of(path) is None


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_flipped_bit_is_seen(store: Store, place: int) -> None:
    path = write(store, 3)
    content = bytearray(store.read_bytes(path))
    content[place] ^= 1
    store.write_bytes(path, bytes(content))
    with pytest.raises(ValueError, match="not what was written"):
        read_replies(store, path, "run")


@pytest.mark.parametrize("content", [b"", b"\0" * 40])
def test_what_is_no_journal_is_seen(store: Store, content: bytes) -> None:
    path = write(store, 3)
    store.write_bytes(path, content)
    with pytest.raises(ValueError, match=r"written|read"):
        read_replies(store, path, "run")


def test_another_run_is_seen(store: Store) -> None:
    with pytest.raises(ValueError, match="another run"):
        read_replies(store, write(store, 3), "other")


def test_files_are_found_by_stage_and_rows(store: Store) -> None:
    path = write(store, 3, 9)
    write(store, 3, 9, stage="respond")
    store.write_bytes("replies/evolve_a/notes.txt", b"of somebody's")
    (file,) = reply_files(store, "evolve_a")
    assert (file.path, file.first, file.last) == (path, 3, 9)
    found = [file.holds_any(np.array(rows)) for rows in ([1, 2], [2, 3], [5], [9, 10], [10])]
    assert found == [False, True, True, True, False]
    assert len(reply_files(store)) == 2


def test_files_go_once_all_their_rows_are_done(store: Store) -> None:
    done, early, late = np.array([True, True, True, False, True]), write(store, 1, 2), write(store, 2, 3)
    beyond = write(store, 4, 5)
    remove_done(store, done, lambda: None)
    assert {file.path for file in reply_files(store)} == {late, beyond}
    assert not store.exists(early)


def test_nothing_goes_from_a_run_that_has_been_taken_over(store: Store) -> None:
    def lost() -> None:
        raise LeaseLost("gone")

    path = write(store, 0)
    with pytest.raises(LeaseLost):
        remove_done(store, np.array([True]), lost)
    assert store.exists(path)


def test_rows_that_are_to_be_asked_anew_are_forgotten(store: Store) -> None:
    path, other = write(store, 1, 4), write(store, 5, 7)
    forget(store, np.array([4, 2]))
    assert not store.exists(path)
    assert store.exists(other)
