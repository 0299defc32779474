"""Actors' logs as JSON: what concerns a row names it by the id that it has in the output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml

from tests.ray_jobs.samples import write_seeds


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for Ray's files: the paths of its sockets may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every JSON line that a worker logged."""
    texts = (path.read_text(errors="replace") for path in folder.glob("**/session_2*/logs/worker-*"))
    return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith('{"asctime"')]


@pytest.mark.ray
def test_a_line_about_a_row_names_it(tmp_path: Path, short_folder: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", [f"Describe step {number} of a procedure." for number in range(30)])
    engine = {"kind": "scripted", "model": "mortal", "slots": 4, "die_after": 20, "marks": str(tmp_path)}
    pool = {"size": 1, "cpus": 0.5}
    config = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "evolvers": {"mortal": {"engine": engine, "pool": pool}},
        "responder": {"kind": "evolver"},
        "scorer": {"kind": "scripted", "pool": pool},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    environment = os.environ | {"RAY_LOGGING_CONFIG_ENCODING": "JSON", "RAY_TMPDIR": str(short_folder)}
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(tmp_path / "run.yaml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    rows = set(ds.dataset(tmp_path / "out/data").to_table(["row_id"])["row_id"].to_pylist())
    (died,) = (line for line in lines(short_folder) if "this actor ends" in line["message"])
    assert died["row"] in rows
    assert {"job_id", "node_id", "actor_id", "levelname"} <= died.keys()
