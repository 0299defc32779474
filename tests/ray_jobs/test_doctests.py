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
from tests.ray_jobs.scripted_tracker import KIND, told

OUTPUTS = Path(__file__).parents[1] / "fixtures" / "outputs"
HOMES = {name: getattr(ray_jobs, name).__module__ for name in ray_jobs.__all__}
WITH_RAY = ("ray_jobs", "ray_jobs.jobs.whole")
TRACKED = {"tracked": None, "broken": "log"}
"""Trackers of the configuration by the files that they write, and where they fail."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder of a person: a finished run in out/first, and a configuration with its seeds."""
    shutil.copytree(OUTPUTS / "evol_instruct" / "out", tmp_path / "out" / "first")
    write_seeds(tmp_path / "seeds.jsonl", [f"Explain step {number}." for number in range(4)])
    trackers = [{"kind": KIND, "file": str(tmp_path / name), "fails": fails} for name, fails in TRACKED.items()]
    raw = run_config(tmp_path, output="out/mine", trackers=trackers).model_dump(mode="json")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.chdir(tmp_path)


def run_examples(module: ModuleType) -> int:
    """Run the examples of a module's docstrings; how many there are."""
    done = doctest.testmod(module, extraglobs={name: getattr(ray_jobs, name) for name in ray_jobs.__all__})
    assert done.failed == 0
    return done.attempted


@pytest.mark.parametrize("module", sorted({*HOMES.values()} - {*WITH_RAY}))
def test_examples_do_as_they_say(place: None, module: str) -> None:
    assert run_examples(import_module(module)) > 0


@pytest.mark.ray
@pytest.mark.parametrize("module", WITH_RAY)
def test_an_example_with_a_run_does_as_it_says(place: None, local_ray: None, module: str) -> None:
    assert run_examples(import_module(module)) > 0
    # on the way, trackers have heard of the run, one of which fails in the midst of it
    steps = [step for step, _ in told(Path("tracked"))]
    assert (steps[0], steps[-1]) == ("start", "finish")
    pools = {pool for step, what in told(Path("tracked")) if step == "stage" for pool in what[:1]}
    assert pools == {"evolve_a", "evolve_b", "respond", "score"}
    assert {step for step, _ in told(Path("broken"))} <= {"start", "stage"}
    [*_, (_, figures)] = [(step, what) for step, what in told(Path("tracked")) if step == "log"]
    rounds = 1 if module.endswith("whole") else 3
    assert (figures["evolve_rows_done"], figures["evolve_records/a/kept"]) == (8, 4 * rounds)


def test_each_name_has_an_example() -> None:
    documented = {name for name in ray_jobs.__all__ if ">>> " in (getattr(ray_jobs, name).__doc__ or "")}
    assert set(ray_jobs.__all__) - documented == {"Output"}
