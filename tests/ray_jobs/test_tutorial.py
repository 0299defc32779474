"""The tutorial: its commands, run one after the other on scripted engines, as a reader gives them."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from tests.test_snippets import RUN_IN_ORDER, commands, snippets_of

ROOT = Path(__file__).parents[2]
SCRIPTED = {"kind": "scripted"}
DEMO = ["evolve", "run", "examples/quickstart.yaml", "--output", "out/quickstart"]
"""What `make demo` runs once it has installed everything."""


def scripted(config: Path) -> None:
    """Give a configuration scripted engines of small pools, and leave all else as it is."""
    raw = yaml.safe_load(config.read_text())
    for part in [*raw["evolvers"].values(), *([raw["responder"]] if "engine" in raw["responder"] else [])]:
        part |= {"engine": SCRIPTED, "pool": {"size": 1, "cpus": 0.25}}
    raw["scorer"] = {**SCRIPTED, "pool": {"size": 1, "cpus": 0.25}}
    config.write_text(yaml.safe_dump(raw))


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_the_tutorial_does_as_it_says(tmp_path: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    scripted(tmp_path / "examples" / "quickstart.yaml")
    monkeypatch.chdir(tmp_path)
    steps = [shlex.split(line) for item in snippets_of(RUN_IN_ORDER) for line in commands(item.text)]
    assert steps.pop(0) == ["make", "demo"]
    from ray_jobs.cli.app import app

    for name, *arguments in [DEMO, *steps]:
        assert name == "evolve"
        app(arguments, standalone_mode=False)
        if arguments[0] == "init":
            scripted(tmp_path / "mine.yaml")
    assert len(list((tmp_path / "out/sft/train").iterdir())) == 1
    assert (tmp_path / "out/quickstart/report/index.html").exists()
    assert (tmp_path / "out/mine/_SUCCESS").exists()
