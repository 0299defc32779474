"""`evolve clean`: it takes what nothing needs, and never anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evolve.records import Completion
from evolve.replies import Reply
from ray_jobs.cli.app import main
from ray_jobs.errors import LeaseHeld, OutputError
from ray_jobs.jobs.clean import clean, unneeded
from ray_jobs.output import accept
from ray_jobs.output.lease import acquire
from ray_jobs.output.ownership import claim
from ray_jobs.output.replies import encode_reply, write_replies
from ray_jobs.output.usage import usage
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import commit_part, new_epoch, plan_numbers, stage_part

COMPLETION = Completion("Nile", "stop", 5, 3)
HEX = "0123456789abcdef" * 2


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An output whose last run was killed: rows 0 to 3 are committed, 4 and 5 in a part that does not count."""
    place = open_store(str(tmp_path / "out"))
    claim(place, "run")
    epoch = new_epoch(place)
    plan_numbers(epoch, 8)
    commit_part(epoch, 0, 1)
    epoch = new_epoch(place)
    commit_part(epoch, 2, 3)
    stage_part(epoch, 4, 5)
    for rows in ((0, 3), (2, 5)):
        replies = [encode_reply(Reply(row, "aa", COMPLETION)) for row in rows]
        write_replies(place, epoch.lease.tag, "evolve_a", "run", [reply for reply in replies if reply])
    place.write_bytes(f"data/.{epoch.lease.tag}-{HEX[:24]}.parquet.{HEX}.tmp", b"half")
    place.write_bytes("report/index.html", b"a page")
    place.write_bytes("mine/notes.txt", b"not ours")
    place.write_bytes(f"data/{HEX}.parquet", b"not ours")
    return place


def paths(store: Store) -> set[str]:
    return {path for path, _ in store.list()}


def test_what_nothing_needs_goes_and_all_else_stays(store: Store) -> None:
    before, counted = paths(store), accept.load(store).parts
    [removal] = unneeded(store)
    clean(removal)
    gone = before - paths(store)
    leftovers = {path for path, _ in removal.files}
    assert leftovers <= gone
    assert sorted({path.split("/")[0] for path in leftovers}) == ["data", "entries", "replies", "staging"]
    # beside these only the entries of the last epoch go, which are in a seal now
    assert {path.split("/")[0] for path in gone - leftovers} == {"entries"}
    # the journal of rows that are not done stays
    assert sum(path.startswith("replies/") for path in paths(store)) == 1
    assert {"mine/notes.txt", f"data/{HEX}.parquet", "report/index.html"} <= paths(store)
    assert [part.name for part in accept.load(store).parts] == [part.name for part in counted]
    assert all(store.exists(part.path) for entry in counted for part in entry.files)
    assert unneeded(store) == []


def test_a_run_that_is_at_work_is_left_alone(store: Store) -> None:
    holder = acquire(store)
    before = paths(store)
    try:
        with pytest.raises(LeaseHeld):
            unneeded(store)
    finally:
        holder.release()
    assert paths(store) >= before - {path for path in before if path.endswith(".beat")}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").write_text("mine")
    with pytest.raises(OutputError, match="no run"):
        unneeded(open_store(str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.parquet"]


def test_the_command_shows_what_it_takes_and_wants_to_be_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = paths(store)

    def cleaned(*more: str) -> int:
        with pytest.raises(SystemExit) as left:
            main(["clean", store.url, *more])
        return int(left.value.code or 0)

    assert cleaned() == 2
    told = capsys.readouterr()
    assert "staging/" in told.out
    assert "--yes" in told.err
    assert cleaned("--json") == 2
    assert paths(store) == before
    capsys.readouterr()
    assert cleaned("--json", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["files"] > 0
    assert cleaned() == 0
    assert "nothing" in capsys.readouterr().out


def test_status_says_what_takes_the_disk(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = usage(store)
    assert sum(sizes.values()) == sum(size for _, size in store.list())
    assert sizes["staged"] > 0
    assert sizes["journal"] > 0
    with pytest.raises(SystemExit):
        main(["status", store.url])
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("disk")]
    assert "staged" in line
    assert "journal" in line
