"""Runs every example of docs/using_the_data.md, in its order, on a small output."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import ray
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


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A small cluster of this test's own, which `ray.data` and `run` then use, unless there is one."""
    if ray.is_initialized():
        yield
        return
    temporary = Path(f"/tmp/ray-doc-{os.getpid()}")
    ray.init(num_cpus=6, include_dashboard=False, log_to_driver=False, _temp_dir=str(temporary))
    yield
    ray.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_all_examples_run(folder: Path, local_ray: None, capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for number, (language, text) in enumerate(BLOCKS):
        if language == "python":
            exec(compile(text, f"{PAGE}, example {number + 1}", "exec"), {})
            shown[number] = capsys.readouterr().out
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
