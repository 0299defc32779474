"""Runs every example of docs/using_the_data.md, in its order, on a small output."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import yaml

from ray_jobs.cli.app import app
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import record, write_output
from tests.ray_jobs.samples import run_config, write_seeds

PAGE = Path(__file__).parents[3] / "docs" / "using_the_data.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LIBRARIES = ("datasets", "pandas", "polars", "duckdb", "ray", "pyarrow.dataset", "ray_jobs")

POOL = {"size": 1, "cpus": 0.25}
EVOLVER = {"engine": {"kind": "scripted"}, "pool": POOL}
SCORER = {"kind": "scripted", "pool": POOL}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder of a user: a run in out/first, a folder of benchmarks, and a configuration with its seeds."""
    place = tmp_path_factory.mktemp("user")
    write_output(open_store(str(place / "out/first")), [[record(number) for number in range(90)]])
    (place / "benchmarks").mkdir()
    (place / "benchmarks/questions.txt").write_text("Explain step 13 of process 947 to 660 people.\n")
    write_seeds(place / "seeds.jsonl", [f"Explain step {number}." for number in range(4)])
    config = run_config(place, responder={"kind": "evolver"}, evolvers={"small": EVOLVER}, scorer=SCORER)
    (place / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    before = Path.cwd()
    os.chdir(place)
    yield place
    os.chdir(before)


def printed_here(program: str) -> str:
    """What a program prints in this process, which has a Ray. Its workers stand in another folder than a reader's."""
    program = program.replace('"out/first/', f'"{Path("out/first").absolute()}/')
    with redirect_stdout(StringIO()) as printed:
        exec(compile(program, str(PAGE), "exec"), {})
    return printed.getvalue()


def printed_alone(program: str, cache: Path) -> str:
    """What a program prints in a process of its own, as its reader runs it.

    In the tests' process DuckDB would complain, when that ends, of its objects which others still hold.
    """
    environment = os.environ | {"HF_DATASETS_CACHE": str(cache)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}\n{done.stderr}"
    return done.stdout


def test_all_examples_run(folder: Path, local_ray: None, tmp_path: Path) -> None:
    shown = {}
    for number, (language, text) in enumerate(BLOCKS):
        if language == "python":
            here = text.startswith(("import ray\n", "from ray_jobs import load_config"))
            shown[number] = printed_here(text) if here else printed_alone(text, tmp_path / "cache")
            assert shown[number].strip()
        elif language == "sh":
            for line in text.splitlines():
                command, *arguments = shlex.split(line)
                assert command == "evolve"
                app(arguments, standalone_mode=False)
    assert shown[0].startswith("90 Explain step")
    assert "('large', 1, 15, " in shown[3]
    assert json.loads(Path("out/clean/selection.json").read_text())["counts"]["read"] == 90
    (settings,) = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
    described = json.loads((Path(settings["dataset_dir"]) / "dataset_info.json").read_text())
    assert [settings["dataset"], settings["eval_dataset"]] == list(described)


def test_the_page_shows_each_library() -> None:
    code = "\n".join(text for language, text in BLOCKS if language == "python")
    assert [name for name in LIBRARIES if not re.search(rf"^(import|from) {name}\b", code, re.MULTILINE)] == []
    assert {language for language, _ in BLOCKS} == {"python", "sh", "yaml"}
