"""A recount of a sound output finds nothing, and each thing that can be wrong with one is told by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.compact import join_parts, small_parts
from ray_jobs.errors import OutputError
from ray_jobs.lease import Lease
from ray_jobs.manifest import Entry, commit, load
from ray_jobs.parts import write_part
from ray_jobs.plan import make_plan
from ray_jobs.output_names import RUN, SUCCESS
from ray_jobs.report import RUN_FIELDS
from ray_jobs.retry import forget_failed
from ray_jobs.storage import Store, open_store
from ray_jobs.synthesize import SynthesisJob
from ray_jobs.verify import Verdict, verify
from tests.ray_jobs.samples import (
    add_part,
    finished,
    kept_round,
    outcomes,
    rejected_round,
    run_config,
    unreadable_round,
    write_seeds,
)

ROWS = 12
UNREADABLE = ROWS
"""The number of the one seed that cannot be read: it is planned last."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Six seeds through two evolvers and one that cannot be read, all in three parts, of a finished run."""
    config = run_config(tmp_path)
    write_seeds(tmp_path / "seeds.jsonl", [f"Name river {number}." for number in range(ROWS // 2)])
    with (tmp_path / "seeds.jsonl").open("a") as file:
        file.write("3\n")
    job, store = SynthesisJob(config), open_store(config.output)
    assert make_plan(store, job.seed_source(), job.fanout()).rows == ROWS + 1
    store.write_bytes(RUN, json.dumps(dict.fromkeys(RUN_FIELDS, 0) | {"records_per_row": 2}).encode())
    add_part(store, *range(6))
    add_part(store, *range(6, ROWS))
    rows = finished({UNREADABLE: [unreadable_round()]}, None)
    commit(store, write_part(store, *outcomes(rows), np.array([UNREADABLE])))
    store.write_bytes(SUCCESS, b"")
    return store


def entry_of(store: Store, row: int) -> Entry:
    return next(entry for entry in load(store).entries if row in entry.rows)


def file_of(store: Store, row: int) -> str:
    return entry_of(store, row).files[0].path


def test_a_sound_output_has_no_problem(store: Store) -> None:
    assert verify(store) == Verdict(ROWS + 1, ROWS + 1, 2 * ROWS + 1, 3, True, [])


def test_neither_has_one_whose_parts_were_joined(store: Store) -> None:
    join_parts(store, small_parts(load(store).entries), Lease(store, 0), lambda: None)
    assert verify(store) == Verdict(ROWS + 1, ROWS + 1, 2 * ROWS + 1, 1, True, [])


def test_a_run_under_way_may_lack_rows(store: Store) -> None:
    store.delete([SUCCESS, (entry := entry_of(store, 7)).path, *(part.path for part in entry.files)])
    assert verify(store) == Verdict(ROWS + 1, 7, 13, 2, False, [])


def test_where_there_is_no_run_nothing_is_counted(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no run here"):
        verify(open_store(str(tmp_path / "none")))


def lacks_rows(store: Store) -> str:
    store.delete([(entry := entry_of(store, 7)).path, *(part.path for part in entry.files)])
    return r"the run is marked as finished, but 6 rows have no outcome: 6, 7, 8, 9, 10, \.\.\."


def has_rows_twice(store: Store) -> str:
    add_part(store, 1, 2)
    return "2 rows are in more than one part: 1, 2"


def has_a_file_of_no_part(store: Store) -> str:
    store.write_bytes("rejected/late.parquet", b"PAR1")
    return "1 files belong to no part: rejected/late.parquet"


def has_a_changed_byte(store: Store) -> str:
    path = file_of(store, 1)
    data = bytearray(store.read_bytes(path))
    data[len(data) // 3] ^= 1
    store.write_bytes(path, bytes(data))
    return f"{path} is not what was written: its checksum differs"


def has_half_a_file(store: Store) -> str:
    path = file_of(store, 1)
    store.write_bytes(path, store.read_bytes(path)[:500])
    return "cannot be read: "


def lacks_a_file(store: Store) -> str:
    store.delete([path := file_of(store, 1)])
    return f"cannot be read: .*{path}: cannot"


def says_other_rows(store: Store) -> str:
    entry = entry_of(store, 1)
    other = Entry.of(entry.name, entry.files, np.array([0, 1, 2, 3, 4]), entry.tally)
    store.write_bytes(entry.path, other.to_json())
    return "its files hold other rows than its manifest entry says"


def says_other_counts(store: Store) -> str:
    entry = entry_of(store, 1)
    tally = entry.tally
    tally.outcomes["a", 1, "kept", ""] += 1
    store.write_bytes(entry.path, Entry.of(entry.name, entry.files, entry.rows, tally).to_json())
    return "its manifest entry counts other outcomes than its files hold"


def lacks_a_round(store: Store) -> str:
    replace_part(store, [kept_round()])
    return "6 rows do not have the records of all their rounds: 0, 1, 2, 3, 4, "


def has_a_record_twice(store: Store) -> str:
    replace_part(store, [kept_round(), kept_round()])
    return "6 records stand there twice"


def keeps_what_was_replaced(store: Store) -> str:
    old = entry_of(store, 1)
    rows = finished({number: [kept_round(), kept_round(2, 1)] for number in old.rows.tolist()})
    commit(store, write_part(store, *outcomes(rows), old.rows, (old.name,)))
    return "1 replaced parts were left behind"


def replace_part(store: Store, rounds: list[dict[str, object]]) -> None:
    """Put another part in the place of that with rows 0 to 5, with these rounds in each row."""
    store.delete([(entry := entry_of(store, 1)).path, *(part.path for part in entry.files)])
    rows = finished(dict.fromkeys(entry.rows.tolist(), rounds))
    commit(store, write_part(store, *outcomes(rows), entry.rows))


WRONGS: list[Callable[[Store], str]] = [
    lacks_rows,
    has_rows_twice,
    has_a_file_of_no_part,
    has_a_changed_byte,
    has_half_a_file,
    lacks_a_file,
    says_other_rows,
    says_other_counts,
    lacks_a_round,
    has_a_record_twice,
    keeps_what_was_replaced,
]


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_is_wrong_with_an_output_is_told(wrong: Callable[[Store], str], store: Store) -> None:
    expected = wrong(store)
    problems = list(verify(store).problems)
    assert any(re.search(expected, problem) for problem in problems), problems


def test_failed_rows_are_taken_out_whole_and_others_stay(store: Store) -> None:
    failed = {**rejected_round(2, 1, "PromptRefused"), "status": "failed"}
    old = entry_of(store, 1)
    store.delete([old.path, *(part.path for part in old.files)])
    rows = {number: [kept_round(), failed if number in (2, 4) else rejected_round(2, 1)] for number in range(6)}
    commit(store, replace(write_part(store, *outcomes(finished(rows)), old.rows), lease=1))
    assert forget_failed(store) == 2
    verdict = verify(store)
    assert (verdict.done, verdict.finished, verdict.problems) == (ROWS + 1 - 2, False, [])
    assert entry_of(store, 1).rows.tolist() == [0, 1, 3, 5]
    assert entry_of(store, 1).lease == 1
    # a seed that cannot be read would fail again
    assert UNREADABLE in entry_of(store, UNREADABLE).rows


def test_an_output_without_failed_rows_stays_finished(store: Store) -> None:
    assert forget_failed(store) == 0
    assert verify(store).finished
