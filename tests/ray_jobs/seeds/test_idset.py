from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.seeds import idset
from ray_jobs.seeds.idset import IdSet

# few different bytes, so that ids repeat, share prefixes and end in zeros
_ids = st.lists(st.sampled_from(b"\x00\x01\xff"), min_size=1, max_size=3).map(lambda head: bytes(head).ljust(16, b"\0"))
_tails = st.lists(st.sampled_from(b"\x00\xff"), min_size=1, max_size=3).map(lambda tail: bytes(tail).rjust(16, b"\0"))


@given(st.lists(st.lists(_ids | _tails | st.binary(min_size=16, max_size=16), max_size=12), max_size=30))
def test_tells_new_ids_as_a_python_set_does(batches: list[list[bytes]]) -> None:
    ids, expected = IdSet(), set[bytes]()
    for batch in batches:
        new = []
        for id_ in batch:
            new.append(id_ not in expected)
            expected.add(id_)
        assert ids.add(batch).tolist() == new
    assert len(ids) == len(expected)


def _numbered(numbers: range) -> list[bytes]:
    return [hashlib.blake2b(b"%d" % n, digest_size=16).digest() for n in numbers]


@pytest.mark.parametrize("limit", [1 << 24, 3000])
def test_holds_many_batches_in_few_runs(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idset, "_RUN_LIMIT", limit)
    ids = IdSet()
    for start in range(0, 20_000, 500):
        assert ids.add(_numbered(range(start, start + 500))).all()
        assert not ids.add(_numbered(range(0, start + 500, 100))).any()
    assert not ids.add(_numbered(range(20_000))).any()
    assert len(ids) == 20_000
    assert len(ids._runs) <= 14


def test_refuses_ids_of_another_length() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        IdSet().add([b"short"])
