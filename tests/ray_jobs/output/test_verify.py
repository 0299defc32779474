"""A recount of a sound output finds nothing, and each thing that can be wrong with one is told by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.errors import DamagedOutput, OutputError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.checksums import from_checked, to_checked
from ray_jobs.output.epochs import Epoch, add_part
from ray_jobs.output.file_names import RUN, SUCCESS
from ray_jobs.output.first_version import FORMAT
from ray_jobs.output.join import join_parts, small_parts
from ray_jobs.output.manifest import Entry
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan import PlanWriter, make_plan
from ray_jobs.output.retry import drop_failed
from ray_jobs.output.run_files import RUN_FIELDS
from ray_jobs.output.verify import Verdict, verify
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import (
    commit_part,
    finished,
    kept_round,
    new_epoch,
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
    job, epoch = SynthesisJob(config), new_epoch(open_store(config.output))
    assert make_plan(PlanWriter(epoch), job.seed_source(), job.fanout()).rows == ROWS + 1
    content: dict[str, object] = {name: {} for name in RUN_FIELDS}
    content |= {"records_per_row": 2, "format": FORMAT}
    epoch.store.write_bytes(RUN, json.dumps(content).encode())
    commit_part(epoch, *range(6))
    commit_part(epoch, *range(6, ROWS))
    rows = finished({UNREADABLE: [unreadable_round()]}, None)
    add(epoch, rows, np.array([UNREADABLE]))
    publish(epoch)
    return epoch.store


def add(epoch: Epoch, rows: object, numbers: object) -> None:
    add_part(epoch.store, epoch.lease, write_part(epoch.store, epoch.lease.tag, *outcomes(rows), numbers))  # type: ignore[arg-type]


def publish(epoch: Epoch) -> None:
    """Publish each part as it is, and mark the run as finished."""
    for entry in epoch.refresh().parts:
        join_parts(epoch, [entry], lambda: None)
    epoch.refresh()
    epoch.finish()


def entry_of(store: Store, row: int) -> Entry:
    return next(entry for entry in accept.load(store).parts if row in entry.rows)


def file_of(store: Store, row: int) -> str:
    return entry_of(store, row).files[0].path


def entry_file(store: Store, row: int) -> str:
    name = entry_of(store, row).name
    return next(path for path, _ in store.list("entries") if path.endswith(f"swap-{name}.json"))


def test_a_sound_output_has_no_problem(store: Store) -> None:
    assert verify(store) == Verdict(ROWS + 1, ROWS + 1, 2 * ROWS + 1, 3, True, [])


def test_neither_has_one_whose_parts_were_joined(store: Store) -> None:
    epoch = new_epoch(store)
    join_parts(epoch, small_parts(epoch.accepted.parts), lambda: None)
    epoch.refresh()
    epoch.finish()
    assert verify(store) == Verdict(ROWS + 1, ROWS + 1, 2 * ROWS + 1, 1, True, [])


def test_a_run_under_way_may_lack_rows_and_hold_some_twice(store: Store) -> None:
    epoch = new_epoch(store)
    epoch.drop([entry_of(store, 7)])
    assert verify(store) == Verdict(ROWS + 1, 7, 13, 2, False, [])
    commit_part(epoch, 5, 6)
    assert verify(store) == Verdict(ROWS + 1, 8, 17, 3, False, [])


def test_where_there_is_no_run_nothing_is_counted(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no run here"):
        verify(open_store(str(tmp_path / "none")))


def lacks_rows(store: Store) -> str:
    new_epoch(store).drop([entry_of(store, 7)])
    store.write_bytes(SUCCESS, b"")
    return r"the run is marked as finished, but 6 rows have no outcome: 6, 7, 8, 9, 10, \.\.\."


def is_not_published(store: Store) -> str:
    epoch = new_epoch(store)
    epoch.drop([entry_of(store, 7)])
    commit_part(epoch, *range(6, ROWS))
    store.write_bytes(SUCCESS, b"")
    return "the run is marked as finished, but 2 files are not published"


def has_a_file_of_no_part(store: Store) -> str:
    store.write_bytes("rejected/late.parquet", b"PAR1")
    return "1 files belong to no part: rejected/late.parquet"


def flip(store: Store, path: str) -> str:
    data = bytearray(store.read_bytes(path))
    data[len(data) // 3] ^= 1
    store.write_bytes(path, bytes(data))
    return path


def has_a_changed_byte(store: Store) -> str:
    return f"{flip(store, file_of(store, 1))}: is not what was written, its checksum differs"


def has_half_a_file(store: Store) -> str:
    path = file_of(store, 1)
    store.write_bytes(path, store.read_bytes(path)[:500])
    return f"{path}: is not what was written"


def lacks_a_file(store: Store) -> str:
    store.delete([path := file_of(store, 1)])
    return f"cannot be read: .*{path}: cannot"


def plan_file(store: Store) -> str:
    return accept.load(store).index.files[0].path


def has_a_changed_byte_in_the_plan(store: Store) -> str:
    return f"{flip(store, plan_file(store))}: is not what was written"


def has_half_a_plan(store: Store) -> str:
    path = plan_file(store)
    store.write_bytes(path, store.read_bytes(path)[:500])
    return f"{path}: is not what was written"


def lacks_a_file_of_the_plan(store: Store) -> str:
    store.delete([path := plan_file(store)])
    return f"{path}: cannot read"


def has_an_empty_session(store: Store) -> str:
    store.write_bytes("sessions/000001.json", b"")
    return "sessions/000001.json: expected the figures of a session"


def says_other_rows(store: Store) -> str:
    entry = entry_of(store, 1)
    other = Entry.of(entry.name, entry.files, np.array([0, 1, 2, 3, 4]), entry.outcome_counts)
    write_entry(store, other)
    return "its files hold other rows than its manifest entry says"


def says_other_counts(store: Store) -> str:
    entry = entry_of(store, 1)
    outcome_counts = entry.outcome_counts
    outcome_counts.outcomes["a", 1, "kept", ""] += 1
    write_entry(store, Entry.of(entry.name, entry.files, entry.rows, outcome_counts))
    return "its manifest entry counts other outcomes than its files hold"


def write_entry(store: Store, entry: Entry) -> None:
    path = entry_file(store, 1)
    content = from_checked(store.read_bytes(path), path)
    store.write_bytes(path, to_checked(content | {"part": entry.to_json()}))


def lacks_a_round(store: Store) -> str:
    replace_part(store, [kept_round()])
    return "6 rows do not have the records of all their rounds: 0, 1, 2, 3, 4, "


def has_a_record_twice(store: Store) -> str:
    replace_part(store, [kept_round(), kept_round()])
    return "6 records stand there twice"


def has_other_columns(store: Store) -> str:
    epoch = new_epoch(store)
    old = entry_of(store, 1)
    epoch.drop([old])
    kept, others = outcomes(finished({row: [kept_round(), rejected_round(2, 1)] for row in range(6)}))
    place = kept.schema.get_field_index("sample")
    texts = kept.set_column(place, "sample", kept["sample"].cast("string"))
    add_part(store, epoch.lease, write_part(store, epoch.lease.tag, texts, others, old.rows))
    return "data/ has files with 2 kinds of columns that do not go together"


def replace_part(store: Store, rounds: list[dict[str, object]]) -> None:
    """Put another part in the place of that with rows 0 to 5, with these rounds in each row."""
    epoch, entry = new_epoch(store), entry_of(store, 1)
    epoch.drop([entry])
    add(epoch, finished(dict.fromkeys(entry.rows.tolist(), rounds)), entry.rows)


WRONGS: list[Callable[[Store], str]] = [
    lacks_rows,
    is_not_published,
    has_a_file_of_no_part,
    has_a_changed_byte,
    has_half_a_file,
    lacks_a_file,
    has_a_changed_byte_in_the_plan,
    has_half_a_plan,
    lacks_a_file_of_the_plan,
    has_an_empty_session,
    says_other_rows,
    says_other_counts,
    lacks_a_round,
    has_a_record_twice,
    has_other_columns,
]


@pytest.mark.parametrize("wrong", WRONGS)
def test_what_is_wrong_with_an_output_is_told(wrong: Callable[[Store], str], store: Store) -> None:
    expected = wrong(store)
    problems = list(verify(store).problems)
    assert any(re.search(expected, problem) for problem in problems), problems


def with_failed_rows(store: Store) -> None:
    failed = {**rejected_round(2, 1, "PromptRefused"), "status": "failed"}
    epoch, old = new_epoch(store), entry_of(store, 1)
    epoch.drop([old])
    rows = {number: [kept_round(), failed if number in (2, 4) else rejected_round(2, 1)] for number in range(6)}
    add(epoch, finished(rows), old.rows)


def test_failed_rows_are_taken_out_whole_and_others_stay(store: Store) -> None:
    with_failed_rows(store)
    assert drop_failed(store) == 2
    verdict = verify(store)
    assert (verdict.done, verdict.finished, verdict.problems) == (ROWS + 1 - 2, False, [])
    assert entry_of(store, 1).rows.tolist() == [0, 1, 3, 5]
    # a seed that cannot be read would fail again
    assert UNREADABLE in entry_of(store, UNREADABLE).rows


def test_a_damaged_part_is_not_rewritten(store: Store) -> None:
    with_failed_rows(store)
    path = flip(store, file_of(store, 1))
    with pytest.raises(DamagedOutput, match=f"{path}: is not what was written"):
        drop_failed(store)
    assert any(path in problem for problem in verify(store).problems)


def test_an_output_without_failed_rows_stays_finished(store: Store) -> None:
    assert drop_failed(store) == 0
    assert verify(store).finished
