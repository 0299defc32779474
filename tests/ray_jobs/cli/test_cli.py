"""The `evolve` command as people meet it: help, messages and exit codes. Its runs are in test_cli_runs.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.cli.app import main
from ray_jobs.output.lease import acquire
from ray_jobs.output.ownership import claim
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import (
    commit_part,
    commit_rows,
    finished,
    kept_round,
    new_epoch,
    plan_numbers,
    run_config,
    write_seeds,
)

SEEDS = [f"Count to {number}." for number in range(24)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with seeds and a configuration that needs one actor."""
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    configure(tmp_path)
    return tmp_path


def configure(folder: Path, engine: dict[str, Any] | None = None, **changes: Any) -> None:
    evolver = {"engine": {"kind": "scripted", **(engine or {})}, "pool": {"size": 1, "batch_rows": 4}}
    defaults: dict[str, Any] = {"evolvers": {"a": evolver}, "responder": {"kind": "evolver"}, "scorer": None}
    config = run_config(folder, **(defaults | changes))
    (folder / "run.yaml").write_text(config.model_dump_json())


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command."""
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return int(exited.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ([], ["run", "validate", "show", "Exit codes: 0 done, 2 wrong configuration"]),
        (["run"], ["Example: evolve run ", "--output", "--limit", "--set", "--fresh", "--verbose"]),
        (["validate"], ["Example: evolve validate examples/quickstart.yaml", "--set"]),
        (["show"], ["Example: evolve show ", "--rows", "--evolver", "--storage"]),
    ],
)
def test_help_shows_an_example(capsys: pytest.CaptureFixture[str], command: list[str], texts: list[str]) -> None:
    code, out, _ = called(capsys, *command, "--help")
    plain = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", out).split())
    assert code == 0
    assert [text for text in texts if text not in plain] == []


def test_a_valid_configuration_is_said_to_be_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, error = called(capsys, "validate", folder / "run.yaml")
    assert (code, error) == (0, "")
    assert said.endswith(f"{folder / 'run.yaml'}: valid\n")
    assert not (folder / "out").exists()


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_wrong_configuration_leaves_with_2(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, _, error = called(capsys, command, folder / "run.yaml", "--set", "strategy.rouns=2", "--set", "samples=0")
    assert code == 2
    assert error == (
        f"error: {folder / 'run.yaml'}: the configuration is wrong\n"
        "  strategy.rouns: unknown field; did you mean rounds? "
        "(allowed: breadth, complicate_input, elimination, forms, kind, rounds, same_answer, sampling, templates)\n"
        "  samples: Input should be greater than or equal to 1, got 0\n"
    )
    assert not (folder / "out").exists()


@pytest.mark.parametrize("command", ["run", "validate"])
def test_seeds_that_are_not_there_leave_with_3(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    (folder / "seeds.jsonl").rename(folder / "seeds.json1")
    code, _, error = called(capsys, command, folder / "run.yaml")
    assert code == 3
    assert error.startswith("error: ")
    assert str(folder / "seeds.jsonl") in error
    assert error.count("\n") == 1


def test_after_unreadable_seeds_other_settings_are_free(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "seeds.jsonl").write_text("[1]\n")
    arguments = ("run", folder / "run.yaml", "--set", "seeds.on_error=stop")
    for rounds in (1, 2):
        code, _, error = called(capsys, *arguments, "--set", f"strategy.rounds={rounds}")
        assert (code, "expected a JSON object" in error) == (3, True)


def test_a_store_that_does_not_answer_leaves_with_4(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = (
        "{endpoint_url: 'http://127.0.0.1:9', key: k, secret: s, config_kwargs: {retries: {total_max_attempts: 1}}}"
    )
    code, _, error = called(capsys, "run", folder / "run.yaml", "--output", "s3://b/x", "--set", f"storage={storage}")
    assert code == 4
    assert error.startswith("error: s3://b/x: cannot list")
    assert "the store does not answer" in error
    assert error.count("\n") == 1


def test_an_output_that_is_held_leaves_with_5(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(folder / "out"))
    claim(store, "run")
    holder = acquire(store)
    code, _, error = called(capsys, "run", folder / "run.yaml")
    holder.release()
    assert code == 5
    assert re.fullmatch(rf"error: {folder}/out: process {os.getpid()} on \S+ is working on this output; .*\n", error)


def test_fresh_wants_an_empty_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "mine.txt").write_text("keep me")
    code, _, error = called(capsys, "run", folder / "run.yaml", "--fresh")
    assert (code, "--fresh wants an empty output, this one holds 1 files; see --delete" in error) == (5, True)
    code, _, error = called(capsys, "run", folder / "run.yaml", "--delete")
    assert (code, "--delete goes with --fresh only" in " ".join(error.split())) == (2, True)
    assert (folder / "out" / "mine.txt").exists()


def begun(folder: Path) -> Path:
    """An output with a file of a run."""
    store = open_store(str(folder / "out"))
    claim(store, "run")
    store.write_bytes("run.json", b"{}")
    return folder / "out" / "run.json"


def test_delete_without_a_terminal_wants_yes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = begun(folder)
    code, out, error = called(capsys, "run", folder / "run.yaml", "--fresh", "--delete")
    assert (code, "nothing is removed without an answer on a terminal, or --yes" in error) == (2, True)
    assert "1 files, 2 B" in out
    assert file.exists()
    code, _, error = called(capsys, "run", folder / "run.yaml", "--fresh", "--yes")
    assert (code, "--yes goes with --fresh --delete only" in " ".join(error.split())) == (2, True)
    (folder / "seeds.jsonl").unlink()
    code, _, _ = called(capsys, "run", folder / "run.yaml", "--fresh", "--delete", "--yes")
    assert (code, file.exists()) == (3, True)


@pytest.mark.slow
def test_delete_asks_on_a_terminal(folder: Path) -> None:
    file = begun(folder)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(folder / "run.yaml"), "--fresh", "--delete"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        os.write(ours, b"n\n")
        out, error = asked.communicate()
    os.close(ours)
    os.close(theirs)
    assert "Remove these files?" in out + error
    assert (asked.returncode, "nothing is removed" in error) == (2, True)
    assert file.exists()


@pytest.mark.slow
def test_show_obeys_no_text_and_its_reader_may_leave(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "\x1b[31m[bold]"))
    rows = finished({number: [kept_round(instruction="\x1b[31mred \u202e[bold]x")] for number in range(2000)})
    epoch = new_epoch(store)
    plan_numbers(epoch, 2000)
    commit_rows(epoch, rows)
    assert called(capfd, "show", store.url)[1].count("\\x1b[31mred \\u202e[bold]x") == 3
    command = [sys.executable, "-m", "ray_jobs.cli", "show", store.url, "--rows", "2000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shown:
        assert shown.stdout is not None
        assert shown.stderr is not None
        shown.stdout.readline()
        shown.stdout.close()
        error = shown.stderr.read()
    assert (shown.returncode, error) == (0, b"")


def test_show_prints_rows_and_says_where_there_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    epoch = new_epoch(open_store(str(tmp_path)))
    plan_numbers(epoch, 5)
    commit_part(epoch, 1, 2, 3, 4)
    code, out, _ = called(capsys, "show", tmp_path, "--rows", 2)
    assert (code, out.count("seed  "), out.count("IFD 0.6667  IC-IFD 0.3333")) == (0, 2, 2)
    assert out.count("rejected at evolve: unchanged") == 2
    assert called(capsys, "show", tmp_path, "--evolver", "z") == (
        5, "", f"error: {tmp_path}: no committed row of evolver z to show\n"
    )  # fmt: skip
    code, _, error = called(capsys, "show", tmp_path, "--storage", "x")
    assert (code, error) == (
        2,
        "error: --storage: expected a mapping such as {endpoint_url: http://127.0.0.1:9000}\n",
    )


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "ray_jobs.cli", "run", str(folder / "run.yaml"), *arguments]


def told(error: str) -> str:
    """The one line of ours on standard error."""
    assert "Traceback" not in error
    (line,) = (line for line in error.splitlines() if line.startswith("error: "))
    return line


@pytest.mark.slow
def test_a_cluster_that_is_not_there_leaves_with_7(folder: Path) -> None:
    configure(folder, ray={"address": "127.0.0.1:9"})
    done = subprocess.run(command(folder), capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 7, done.stderr
    assert told(done.stderr) == (
        "error: cannot join the Ray cluster at 127.0.0.1:9: ConnectionRefusedError: [Errno 111] Connection refused"
    )


@pytest.mark.parametrize(
    ("options", "threads"),
    [([], 8), (["--actors", "3"], 2), (["--set", "scorer.threads=5"], 5), (["--gpus", "1"], None),
     (["--address", "127.0.0.1:6379"], None)],
)  # fmt: skip
def test_scorers_of_a_machine_share_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], threads: int | None
) -> None:
    configs: list[Any] = []

    def noted(job: Any, *_: Any) -> None:
        configs.append(job.config)
        raise KeyboardInterrupt

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("ray_jobs.runner.run.run", noted)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(["score", "pairs.jsonl", str(tmp_path / "out"), "--model", str(tmp_path), *options])
    assert [config.scorer.threads for config in configs] == [threads]
