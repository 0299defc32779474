"""An actor's share of the journal, without Ray: blocks that begin again, and stores that are damaged or away."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from evolve.records import Completion
from evolve.replies import Reply
from ray_jobs.config.engine_kinds import OpenAIConfig, ScriptedConfig
from ray_jobs.config.run import LimitsConfig
from ray_jobs.output.file_names import Tag
from ray_jobs.output.replies import reply_files
from ray_jobs.pipeline.journal import Journal, JournalPlace, interval
from ray_jobs.storage.store import open_store

NEVER = 1e6
REPLY = Completion("Nile", "stop", 5, 3)


def place(folder: Path, epoch: int = 1, run: str = "run", seconds: float = NEVER) -> JournalPlace:
    return JournalPlace(open_store(str(folder)), Tag(epoch, "0123456789ab"), run, "evolve_a", seconds)


def answered(folder: Path, *rows: int) -> Journal:
    journal = Journal(place(folder))
    block = journal.begin(rows)
    for row in rows:
        block.keep(Reply(row, "aa", REPLY))
    journal.flush()
    return journal


def known(journal: Journal, *rows: int) -> list[bool]:
    block = journal.begin(rows)
    return [block.row(row, lambda _: None).again("aa") is not None for row in rows]


def test_rows_that_begin_again_find_their_replies_in_whatever_block(tmp_path: Path) -> None:
    answered(tmp_path, 3, 4, 5)
    later = Journal(place(tmp_path, epoch=2))
    assert known(later, 4, 9, 3) == [True, False, True]
    assert known(later, 5) == [True]


def test_what_is_not_written_yet_is_not_known(tmp_path: Path) -> None:
    journal = Journal(place(tmp_path))
    journal.begin([1]).keep(Reply(1, "aa", REPLY))
    assert known(Journal(place(tmp_path)), 1) == [False]
    journal.flush()
    assert known(Journal(place(tmp_path)), 1) == [True]


def test_much_is_written_at_once(tmp_path: Path) -> None:
    journal = Journal(place(tmp_path))
    block = journal.begin([1])
    block.keep(Reply(1, "aa", Completion("x" * (9 << 20), "stop", 5, 3)))
    for _ in range(1000):
        if known(Journal(place(tmp_path)), 1) == [True]:
            return
    pytest.fail("not written")


def test_a_damaged_file_is_passed_over_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answered(tmp_path, 1)
    answered(tmp_path, 2)
    file = tmp_path / reply_files(open_store(str(tmp_path)))[0].path
    file.write_bytes(file.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert sorted(known(Journal(place(tmp_path)), 1, 2)) == [False, True]
    assert [record.getMessage().count("passed over") for record in caplog.records] == [1]


def test_another_runs_replies_are_none(tmp_path: Path) -> None:
    answered(tmp_path, 1)
    assert known(Journal(place(tmp_path, run="other")), 1) == [False]


def test_a_store_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "replies").write_text("a file where a folder is to be")
    with caplog.at_level(logging.WARNING):
        journal = answered(tmp_path, 1)
    assert "1 replies are not kept" in caplog.text
    assert known(journal, 1) == [False]


def test_servers_are_written_down_more_often_and_a_word_turns_it_off() -> None:
    paid, own = OpenAIConfig(kind="openai", model="m", url="http://x/v1"), ScriptedConfig(kind="scripted")
    assert (interval(LimitsConfig(), paid), interval(LimitsConfig(), own)) == (0.5, 30)
    assert interval(LimitsConfig.model_validate({"journal": False}), paid) is None
    assert interval(LimitsConfig.model_validate({"journal": "off"}), paid) is None
    assert interval(LimitsConfig.model_validate({"journal": 5}), own) == 5
