"""The examples in the docstrings of what `ray_jobs` gives to programs and notebooks."""

from __future__ import annotations

import doctest
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import ray_jobs
from tests.ray_jobs.samples import run_config, write_seeds

OUTPUTS = Path(__file__).parents[1] / "fixtures" / "outputs"
HOMES = {name: getattr(ray_jobs, name).__module__ for name in ray_jobs.__all__}
WITH_RAY = "ray_jobs.jobs.whole"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder of a person: a finished run in out/first, and a configuration with its seeds."""
    shutil.copytree(OUTPUTS / "evol_instruct" / "out", tmp_path / "out" / "first")
    write_seeds(tmp_path / "seeds.jsonl", [f"Explain step {number}." for number in range(4)])
    raw = run_config(tmp_path).model_dump(mode="json")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.chdir(tmp_path)


def run_examples(module: ModuleType) -> int:
    """Run the examples of a module's docstrings; how many there are."""
    done = doctest.testmod(module, extraglobs={name: getattr(ray_jobs, name) for name in ray_jobs.__all__})
    assert done.failed == 0
    return done.attempted


@pytest.mark.parametrize("module", sorted({*HOMES.values()} - {WITH_RAY}))
def test_examples_do_as_they_say(place: None, module: str) -> None:
    assert run_examples(import_module(module)) > 0


@pytest.mark.ray
def test_the_example_of_a_run_does_as_it_says(place: None, local_ray: None) -> None:
    assert run_examples(import_module(WITH_RAY)) > 0


def test_each_name_has_an_example() -> None:
    documented = {name for name in ray_jobs.__all__ if ">>> " in (getattr(ray_jobs, name).__doc__ or "")}
    assert set(ray_jobs.__all__) - documented == {"Output"}
