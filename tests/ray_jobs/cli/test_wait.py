"""`evolve wait` goes on for as long as somebody may be working on the output, and then says how it ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ray_jobs.cli.wait import wait_for
from ray_jobs.errors import OutputError, Stopped
from ray_jobs.output import lease
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.storage.store import Store, open_store

FIXTURE = Path(__file__).parents[2] / "fixtures" / "outputs" / "evol_instruct" / "out"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(FIXTURE, tmp_path / "run")
    (tmp_path / "run" / SUCCESS).touch()
    return open_store(str(tmp_path / "run"), {})


def no_pause() -> None:
    pytest.fail("nobody works on it")


def test_a_finished_output_is_not_waited_for(store: Store) -> None:
    wait_for(store, no_pause)


def test_an_output_that_nobody_works_on_had_stopped(store: Store, tmp_path: Path) -> None:
    (tmp_path / "run" / SUCCESS).unlink()
    with pytest.raises(Stopped, match="not finished"):
        wait_for(store, no_pause)


def test_a_holder_is_waited_for(store: Store) -> None:
    holder, pauses = lease.acquire(store), list[int]()

    def pause() -> None:
        pauses.append(1)
        if len(pauses) == 3:
            holder.release()

    wait_for(store, pause)
    assert len(pauses) == 3


def test_where_no_run_is_nothing_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        wait_for(open_store(str(tmp_path), {}), no_pause)
