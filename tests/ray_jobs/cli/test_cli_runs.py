"""`evolve run` as people meet it: what it says and leaves with when it is stopped, and when its engines die."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import ray

from ray_jobs.cli.app import main
from tests.ray_jobs.samples import run_config, write_seeds

SEEDS = [f"Count to {number}." for number in range(24)]

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    return tmp_path


def configure(folder: Path, engine: dict[str, Any], **changes: Any) -> None:
    """A run that needs one actor."""
    evolver = {"engine": {"kind": "scripted", **engine}, "pool": {"size": 1, "batch_rows": 4}}
    config = run_config(folder, evolvers={"a": evolver}, responder={"kind": "evolver"}, **({"scorer": None} | changes))
    (folder / "run.yaml").write_text(config.model_dump_json())


def told(error: str) -> str:
    """The one line of ours on standard error."""
    assert "Traceback" not in error
    (line,) = (line for line in error.splitlines() if line.startswith("error: "))
    return line


def records(folder: Path) -> list[str]:
    ids: list[str] = ds.dataset(folder / "out" / "data").to_table(columns=["record_id"])["record_id"].to_pylist()
    return ids


@pytest.fixture
def slow(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that takes some seconds a row, once rows are under way."""
    engine = {"slots": 4, "decode_rate": 400, "call_log": str(folder / "calls")}
    configure(folder, engine, ray={"address": ray.get_runtime_context().gcs_address})
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(folder / "run.yaml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (folder / "calls").exists() or len((folder / "calls").read_text().split()) < 40:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    configure(folder, engine)
    yield process
    process.kill()
    process.communicate()


def test_a_stopped_run_leaves_with_10_and_goes_on(
    folder: Path, slow: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    slow.send_signal(signal.SIGTERM)
    out, error = slow.communicate(timeout=120)
    assert slow.returncode == 10, (out, error)
    assert told(error) == "error: stopped by SIGTERM; what was finished is committed, and the same command goes on"
    assert re.search(r"^SIGTERM: finishing (\d+ rows|what has begun); again", error, re.MULTILINE)
    done = records(folder)
    assert 0 < len(done) < 3 * len(SEEDS)
    assert len(done) % 3 == 0
    asked = Counter((folder / "calls").read_text().split())
    # every row that was begun was finished, and nothing else was asked for
    assert asked.total() == 2 * len(done)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder / "run.yaml")])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert f"plan: 24 seeds, 24 rows, {len(done) // 3} done" in said
    assert "72 records planned: 72 kept, 0 rejected, 0 failed" in said
    assert sorted(records(folder)) == sorted(set(records(folder)))
    calls = Counter((folder / "calls").read_text().split())
    assert (len(calls), set(calls.values())) == (144, {1})


def fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The line of a run whose pools cannot do their work."""
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder / "run.yaml")])
    assert ended.value.code == 6
    assert not (folder / "out" / "_SUCCESS").exists()
    return told(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("dies", "word"),
    [
        ({"die_after": 1, "exit_code": 3}, r"were started again \d+ times and finished no row in between, .* allows 1"),
        ({"die_after": 3}, "the script ends this engine at call 3"),
    ],
)
def test_an_engine_that_always_dies_leaves_with_6(
    folder: Path, capsys: pytest.CaptureFixture[str], dies: dict[str, Any], word: str
) -> None:
    configure(folder, dies, limits={"engine_restarts": 1, "stall_seconds": 120})
    assert re.search(f"pool evolve_a: .*{word}", fails(folder, capsys))


def test_a_model_that_does_not_load_leaves_with_6(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps({"model_type": "no-such-architecture"}))
    scorer = {"kind": "model", "model": str(folder / "model")}
    configure(folder, {}, scorer=scorer, limits={"engine_restarts": 0})
    assert re.search("pool score: .*no-such-architecture", fails(folder, capsys))


def test_a_resource_that_the_cluster_lacks_leaves_with_6(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lacking = {"kind": "scripted", "pool": {"resources": {"unobtainable": 1}}}
    configure(folder, {}, scorer=lacking, limits={"stall_seconds": 5})
    assert re.search("pool score: .*1 unobtainable", fails(folder, capsys))
