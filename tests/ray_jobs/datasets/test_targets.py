"""Where selections and exports are written: nothing of anybody's is harmed, and what fails can be done again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.datasets.export import export
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.datasets.target import write_new
from ray_jobs.errors import OutputError, StorageError
from ray_jobs.output.ownership import MARK
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import record, write_output
from tests.ray_jobs.fault_proxy import Fault, fault_proxy

Command = Callable[[Store, Store], Any]


def selecting(store: Store, target: Store) -> None:
    select(store, target, Rule("ic_ifd", top=Fraction(1, 2)), say=lambda _: None, shard_bytes=1)


def exporting(store: Store, target: Store) -> None:
    export(store, target, "alpaca", "jsonl", Fraction(2, 5), shard_bytes=1)


COMMANDS = pytest.mark.parametrize("command", [selecting, exporting])


def files(store: Store) -> dict[str, bytes]:
    """What is in a folder, but for accounts, which hold the time."""
    found = [path for path, _ in store.list() if path not in ("selection.json", "export.json")]
    return {path: store.read_bytes(path) for path in found}


def undisturbed(command: Command, output: Store, folder: Path) -> dict[str, bytes]:
    store = open_store(str(folder / "undisturbed"))
    command(output, store)
    return files(store)


@COMMANDS
@pytest.mark.parametrize("name", ["README.md", "dataset_info.json", "train/mine.jsonl", "data/00000.parquet"])
def test_a_folder_of_somebody_else_stays_as_it_is(output: Store, target: Store, command: Command, name: str) -> None:
    target.write_bytes(name, b"theirs")
    with pytest.raises(OutputError, match=f"expected an empty or a new place.*found {name.split('/')[0]}"):
        command(output, target)
    assert files(target) == {name: b"theirs"}


@COMMANDS
@pytest.mark.parametrize("where", ["run", "run/data", "run/best", ".", "link", "link/best"])
def test_a_target_lies_apart_from_what_is_read(output: Store, tmp_path: Path, command: Command, where: str) -> None:
    (tmp_path / "link").symlink_to("run")
    before = files(output)
    with pytest.raises(OutputError, match=r"is what is read|lies (inside|around) .*run, which is read"):
        command(output, open_store(str(tmp_path / where)))
    assert files(output) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "run"]


def test_a_selection_does_not_land_among_test_sets(output: Store, tmp_path: Path) -> None:
    tests = open_store(str(tmp_path / "tests"))
    tests.write_bytes("one.txt", b"A question.")
    with pytest.raises(OutputError, match="lies inside"):
        select(output, tests.below("best"), Rule("ic_ifd", top=3, ngram=13), tests, say=lambda _: None)
    assert list(tests.names()) == ["one.txt"]


@pytest.mark.parametrize(
    ("name", "content"), [("README.md", b"# Mine"), ("dataset_info.json", b'{"mine": {}}'), ("train/x.jsonl", b"{}")]
)
def test_what_somebody_put_into_an_unfinished_export_stays(
    output: Store, target: Store, name: str, content: bytes
) -> None:
    exporting(output, target)
    target.delete(["export.json"])
    target.write_bytes(name, content)
    before = files(target)
    with pytest.raises(OutputError, match=f"found {name}, which this program has not written"):
        exporting(output, target)
    assert files(target) == before


def test_nothing_that_came_meanwhile_is_replaced(target: Store) -> None:
    target.write_bytes("README.md", b"mine")
    with pytest.raises(OutputError, match=r"README\.md: has come there meanwhile"):
        write_new(target, "README.md", b"ours")
    assert target.read_bytes("README.md") == b"mine"


@pytest.mark.slow
@COMMANDS
def test_a_write_that_a_store_refuses_can_be_done_again(
    s3_url: str, s3_options: dict[str, Any], output: Store, tmp_path: Path, command: Command
) -> None:
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        options = {**s3_options, "endpoint_url": proxy.url, "config_kwargs": {"retries": {"total_max_attempts": 1}}}
        target = open_store(f"{s3_url}/target", options)
        expected, tried = undisturbed(command, output, tmp_path), 0
        # each write of the whole once: the mark, the lease, the shards, the card, the account
        while not any(target.exists(account) for account in ("selection.json", "export.json")):
            before = proxy.requests
            proxy.faults = [*([None] * tried), Fault(400, "QuotaExceeded")]  # type: ignore[list-item]
            try:
                command(output, target)
            except StorageError:
                assert proxy.requests > before
            proxy.faults, tried = [], tried + 1
            assert tried < 40
        assert tried > 5
        assert files(target) == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_an_export_on_a_full_disk_can_be_done_again(tmp_path: Path, small_disk: Path) -> None:
    output, target = open_store(str(tmp_path / "run")), open_store(str(small_disk / "sft"))
    write_output(output, [[record(number, output="x" * 1000) for number in range(20)]])
    ballast = small_disk / "ballast"
    size = 44 << 10
    while size:
        # each time with a little more room, so that it fails at another write
        ballast.write_bytes(b"x" * size)
        try:
            exporting(output, target)
            break
        except StorageError:
            assert target.names() == []
            size -= 4 << 10
    assert 0 < size < 40 << 10
    assert files(target) == undisturbed(exporting, output, tmp_path)
    assert MARK in files(target)
