"""Which files a source reads, and that it tells which ones it passes over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.errors import SeedError, StorageError
from ray_jobs.seeds.files import find_files
from ray_jobs.seeds.report import Noted
from ray_jobs.storage.store import open_store
from tests.ray_jobs.seed_reading import read, texts


def seeds(path: Path, *instructions: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"instruction": text}) + "\n" for text in instructions))
    return path


def test_names_in_either_case_and_of_other_habits(tmp_path: Path) -> None:
    names = ["A.JSONL", "b.Json", "c.jsonlines", "d.jl", "e.NDJSON"]
    for name in names:
        seeds(tmp_path / name, name)
    assert texts(tmp_path) == names


def test_what_a_folder_passes_over_is_counted_and_named(tmp_path: Path) -> None:
    seeds(tmp_path / "a.jsonl", "Go.")
    for name in ("README.md", "notes.txt", "_SUCCESS", ".a.crc", "_tmp/x.jsonl", "empty.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty.jsonl" else "x")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jsonl")
    report = read(tmp_path)[2]
    assert report.skipped_files == {
        "hidden": Noted(3, f"{tmp_path}/.a.crc"),
        "not_a_file": Noted(2, f"{tmp_path}/gone.jsonl"),
        "unknown_kind": Noted(2, f"{tmp_path}/README.md"),
        "empty": Noted(1, f"{tmp_path}/empty.jsonl"),
    }
    assert f"2 passed over as unknown kind: {tmp_path}/README.md" in report.lines()
    (tmp_path / "b.csv").write_text("instruction\nStay.\n")
    for path in (tmp_path, tmp_path / "*.csv"):
        assert texts(path, format="csv") == ["Stay."]
    assert read(tmp_path, format="csv")[2].skipped_files["other_format"] == Noted(2, f"{tmp_path}/a.jsonl")


def test_a_source_that_is_read_tells_what_it_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seeds(tmp_path / "a.jsonl", "Go.")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "b.jsonl").write_text('{"instruction": "Go."}\n{"instruction": ""}\n{"instruction": "Stay.", "id": 1}')
    report = read(tmp_path)[2]
    assert f"1 passed over as unknown kind: {tmp_path}/README.md" in caplog.text
    assert len(report.lines()) == 4
    assert all(line in caplog.text for line in report.lines())


def test_a_glob_leaves_hidden_files_out_as_a_folder_does(tmp_path: Path) -> None:
    seeds(tmp_path / "part-0.json", "Go.")
    seeds(tmp_path / "_part.json", "Stay.")
    for name in ("_SUCCESS", "._SUCCESS.crc", "README.md"):
        (tmp_path / name).write_text("x")
    instructions, _, report = read(tmp_path / "*")
    assert [instruction.instruction for instruction in instructions] == ["Go."]
    assert (report.skipped_files["hidden"].count, report.skipped_files["unknown_kind"].count) == (3, 1)
    assert texts(tmp_path / "_*.json") == ["Stay."]
    with pytest.raises(SeedError, match=r"README\.md: its name does not end in"):
        read(tmp_path / "*.md")


def test_only_hidden_files_are_told(tmp_path: Path) -> None:
    seeds(tmp_path / "_a.jsonl", "Go.")
    with pytest.raises(SeedError, match=r"no file of seeds there.*1 passed over as hidden: .*_a\.jsonl"):
        read(tmp_path / "*.jsonl")


def test_linked_folders_and_files_are_read_once(tmp_path: Path) -> None:
    data, disk = tmp_path / "data", tmp_path / "disk"
    seeds(data / "m" / "a.jsonl", "Go.")
    seeds(disk / "b.jsonl", "Stay.")
    seeds(disk / "deep" / "c.jsonl", "Sit.")
    (data / "linked").symlink_to(disk)
    (data / "again").symlink_to(data / "m")
    (data / "round").symlink_to(data)
    (data / "up").symlink_to(tmp_path)
    (disk / "back").symlink_to(data)
    (data / "z.jsonl").symlink_to(disk / "b.jsonl")
    found, _, report = read(data, pairs=False)
    assert [item.instruction for item in found] == ["Stay.", "Sit.", "Go."]
    assert report.read == 4
    assert report.skipped_files["folder_read_already"].count == 4
    assert texts(data / "*" / "a.jsonl") == ["Go."]
    assert texts(data / "linked" / "*.jsonl") == ["Stay."]
    assert texts(data / "**" / "c.jsonl") == ["Sit."]


def test_wildcards_match_part_by_part(tmp_path: Path) -> None:
    for name in ("a1/x.jsonl", "a1/deep/x.jsonl", "b1/x.jsonl", "a2/y.jsonl", "x.jsonl"):
        seeds(tmp_path / name, name)
    for pattern, names in [
        ("a*/x.jsonl", ["a1/x.jsonl"]),
        ("*/x.jsonl", ["a1/x.jsonl", "b1/x.jsonl"]),
        ("**/x.jsonl", ["a1/deep/x.jsonl", "a1/x.jsonl", "b1/x.jsonl", "x.jsonl"]),
        ("a[12]/?.jsonl", ["a1/x.jsonl", "a2/y.jsonl"]),
        ("[!a]*/x.jsonl", ["b1/x.jsonl"]),
        ("a1/**", ["a1/deep/x.jsonl", "a1/x.jsonl"]),
    ]:
        assert texts(tmp_path / pattern) == names


@pytest.mark.parametrize(
    "name", ["seeds [v2].jsonl", "a::b.jsonl", "what?.jsonl", "x*y.jsonl", "run[1]/s.jsonl", "a#1 é.jsonl"]
)
def test_a_name_that_exists_is_no_pattern(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = seeds(tmp_path / name, "Go.")
    assert texts(path) == ["Go."]
    assert texts(f"file://{path}") == ["Go."]
    assert texts(path.parent) == ["Go."]
    assert texts(f"{path.parent}/*.jsonl") == ["Go."]
    monkeypatch.chdir(tmp_path)
    assert texts(name) == ["Go."]


def test_a_path_of_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds(tmp_path / "a.jsonl", "Go.")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert texts("~/a.jsonl") == ["Go."]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"{'x' * 300}*.jsonl", "cannot look up: File name too long"),
        (f"{'x' * 300}/*.jsonl", "cannot look up: File name too long"),
        ("~nobody-of-that-name/*.jsonl", "no file of seeds there"),
    ],
)
def test_paths_that_cannot_be_looked_up(path: str, told: str) -> None:
    with pytest.raises((SeedError, StorageError), match=told):
        read(path)


def test_folders_that_may_not_be_looked_into(tmp_path: Path) -> None:
    shut = seeds(tmp_path / "shut" / "a.jsonl", "Go.").parent
    shut.chmod(0)
    script = (
        "import os, sys; from ray_jobs.seeds.walk import split_local\n"
        "os.getuid() or os.setuid(65534)\n"  # root may look everywhere
        "split_local(sys.argv[1])"
    )
    command = [sys.executable, "-c", script, str(shut / "*.jsonl")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "StorageError" in ran.stderr
    assert "cannot look up: permission denied" in ran.stderr


def run_output(folder: Path) -> None:
    for name in ("plan/index.json", "lease/000001.json", "run.json", "manifest/a.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    seeds(folder / "data" / "part.jsonl", "Kept.")


@pytest.mark.parametrize("path", ["data", "data/**", "data/**/*.jsonl", "link"])
def test_the_outputs_of_runs_are_no_seeds(tmp_path: Path, path: str) -> None:
    data = tmp_path / "data"
    seeds(data / "s.jsonl", "Go.")
    seeds(data / "not" / "s.jsonl", "Stay.")
    (tmp_path / "link").symlink_to(data)
    own = {"output": str(data / "out")}
    run_output(data / "other")
    for folder in (data / "out", data / "out" / "data"):
        folder.mkdir()
    seeds(data / "out" / "data" / "x.jsonl", "Mine.")
    found, _, report = read(tmp_path / path, **own)
    assert [item.instruction for item in found] == ["Stay.", "Go."]
    assert report.skipped_files["output_of_a_run"].count >= 2


def test_seeds_from_outputs(tmp_path: Path) -> None:
    """Another run's records count where its output is the place; those of the run itself never do."""
    run_output(tmp_path / "out")
    assert texts(tmp_path / "out") == ["Kept."]
    assert texts(tmp_path / "out" / "data") == ["Kept."]
    seeds(tmp_path / "out" / "own.jsonl", "Go.")
    own = {"output": str(tmp_path / "out")}
    assert texts(tmp_path / "out", **own) == ["Go."]
    assert texts(tmp_path / "out" / "own.jsonl", **own) == ["Go."]
    seeds(tmp_path / "out" / "instructions" / "data" / "part.jsonl", "Mine.")
    seeds(tmp_path / "out" / "run.jsonl", "Stay.")
    assert texts(tmp_path / "out", **own) == ["Go.", "Stay."]
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out" / "data" / "part.jsonl")
    for path in (
        "out/data",
        "out/data/part.jsonl",
        "out/data/*.jsonl",
        "out/da*/*",
        "out/run.json",
        "out/instructions/data",
        "out/instructions/*/part.jsonl",
        "link.jsonl",
    ):
        with pytest.raises(SeedError, match=r"no file of seeds there .*1 passed over as output of a run"):
            read(tmp_path / path, **own)


def test_a_file_that_appears_in_two_paths_is_one(tmp_path: Path) -> None:
    path = seeds(tmp_path / "a.jsonl", "Go.")
    found = find_files([str(path), str(tmp_path), os.path.relpath(path)], "auto", {})
    assert list(found.files) == [str(path)]


def test_object_stores_pass_over_the_same(s3_url: str, s3_options: dict[str, Any]) -> None:
    store = open_store(s3_url, s3_options)
    row = json.dumps({"instruction": "Go."}).encode()
    names = [
        "in/a.JSONL",
        "in/_SUCCESS",
        "in/x.md",
        "in/run [1].jsonl",
        "in/out/lease/000001.json",
        "in/out/data/a.jsonl",
    ]
    for name in names:
        store.write_bytes(name, row)
    options = {"storage": s3_options, "output": f"{s3_url}/in/mine"}
    store.write_bytes("in/mine/data/a.jsonl", row)
    report = read(f"{s3_url}/in", **options)[2]
    assert (report.read, report.seeds) == (2, 1)
    assert {reason: seen.count for reason, seen in report.skipped_files.items()} == {
        "hidden": 1,
        "output_of_a_run": 3,
        "unknown_kind": 1,
    }
    assert texts(f"{s3_url}/in/run [1].jsonl", **options) == ["Go."]
    assert texts(f"{s3_url}/in/*", **options) == ["Go."]
    for path in ("mine/data", "mine/data/a.jsonl", "mine/data/*.jsonl", "mine/*/a.jsonl"):
        with pytest.raises(SeedError, match="1 passed over as output of a run"):
            read(f"{s3_url}/in/{path}", **options)
