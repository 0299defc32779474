"""What can be put right in an output is, without engines, and each thing is told; what cannot is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.errors import DamagedOutput
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.epochs import begin
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.output.lease import acquire
from ray_jobs.output.verify import verify
from ray_jobs.runner.drive import Drive
from ray_jobs.runner.repair import repair
from ray_jobs.runner.run import run
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import commit_part, new_epoch, run_config, stage_part, write_seeds

ROWS = 12


@pytest.fixture
def job(tmp_path: Path) -> SynthesisJob:
    write_seeds(tmp_path / "seeds.jsonl", [f"Name river {number}." for number in range(ROWS // 2)])
    return SynthesisJob(run_config(tmp_path, strategy={"rounds": 2}))


@pytest.fixture
def store(job: SynthesisJob) -> Store:
    """A run that was killed: two committed parts, a staged file that no entry names."""
    store = open_store(job.config.output)
    epoch = new_epoch(store)

    def execute(*_: object) -> None:
        commit_part(epoch, *range(4))
        commit_part(epoch, 4, 5, 6)
        stage_part(epoch, 7)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Drive(job, epoch, execute, lambda: None, lambda: None, lambda _: None).complete()
    return store


def repaired(store: Store, job: SynthesisJob) -> str:
    said = list[str]()
    repair(store, job, said.append)
    assert verify(store).problems == []
    return "\n".join(said)


def flip(store: Store, path: str) -> None:
    data = bytearray(store.read_bytes(path))
    data[len(data) // 2] ^= 1
    store.write_bytes(path, bytes(data))


def test_what_a_kill_left_is_published(store: Store, job: SynthesisJob) -> None:
    assert "2 leftover files removed" in (said := repaired(store, job))
    assert "2 parts joined into 1" in said
    assert verify(store).done == 7
    assert [path.split("/")[0] for path, _ in store.list("data")] == ["data"]
    assert [path for path, _ in store.list("staging")] == []
    assert not store.exists(SUCCESS)


def test_a_damaged_part_is_taken_out(store: Store, job: SynthesisJob) -> None:
    (damaged,) = (entry for entry in accept.load(store).parts if 5 in entry.rows)
    flip(store, damaged.files[1].path)
    assert f"part {damaged.name}: is damaged" in (said := repaired(store, job))
    assert "its 3 rows are made again" in said
    assert verify(store).done == 4


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_part_that_shares_rows_and_cannot_be_read_is_taken_out(how: str, store: Store, job: SynthesisJob) -> None:
    before = {entry.name for entry in accept.load(store).parts}
    held = acquire(store)
    commit_part(begin(store, held.lease), 6, 8, 9)
    held.release()
    (added,) = (entry for entry in accept.load(store).parts if entry.name not in before)
    path = added.files[0].path
    if how == "flipped":
        flip(store, path)
    else:
        store.delete([path])
    assert path in (said := repaired(store, job))
    assert "does not count any more" in said
    assert verify(store).done == 7


def test_a_damaged_entry_is_passed_over(store: Store, job: SynthesisJob) -> None:
    path = next(path for path, _ in store.list("entries") if "/part-" in path)
    flip(store, path)
    with pytest.raises(DamagedOutput, match=path):
        accept.load(store)
    assert f"{path}: is not what was written" in repaired(store, job)
    assert verify(store).done in (3, 4)


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_file_of_the_plan_is_made_again_from_the_seeds(how: str, store: Store, job: SynthesisJob) -> None:
    file = accept.load(store).index.files[1]
    before = store.read_bytes(file.path)
    if how == "flipped":
        flip(store, file.path)
    else:
        store.delete([file.path])
    assert verify(store).problems
    assert f"{file.path}: was made again from the seeds" in repaired(store, job)
    assert store.read_bytes(file.path) == before


def test_what_the_seeds_do_not_give_any_more_is_named(store: Store, job: SynthesisJob, tmp_path: Path) -> None:
    file = accept.load(store).index.files[1]
    flip(store, file.path)
    write_seeds(tmp_path / "seeds.jsonl", ["Something else."])
    said = list[str]()
    with pytest.raises(DamagedOutput, match=rf"cannot be put right(.|\n)*{file.path}"):
        repair(store, job, said.append)
    assert any("joined" in item for item in said)


@pytest.mark.usefixtures("local_ray")
def test_the_run_goes_on_after_it(store: Store, job: SynthesisJob) -> None:
    (damaged,) = (entry for entry in accept.load(store).parts if 5 in entry.rows)
    flip(store, damaged.files[0].path)
    repaired(store, job)
    report = run(job, say=lambda _: None)
    assert report["rows"] == {"planned": ROWS, "done": ROWS}
    assert verify(store).problems == []
