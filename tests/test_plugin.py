"""examples/plugin, installed beside the repository: what it adds works from the configuration to the report."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # it makes an environment, and each command is a process

ROOT = Path(__file__).parents[1]
Evolve = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that sees the packages of this one, and has the plug-in installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    found = folder / "bin" / "python"
    inner = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(inner, "around.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    # a copy, for setuptools builds in the folder itself
    source = shutil.copytree(ROOT / "examples" / "plugin", folder / "source")
    install = [found, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", source]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
def evolve(python: Path, tmp_path: Path) -> Evolve:
    """Calls the command in that environment, in a folder with the example's configuration and seeds."""
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "seeds.jsonl", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "plugin" / "run.yaml", tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    def call(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "ray_jobs.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_all_that_it_adds_works_together(evolve: Evolve, tmp_path: Path) -> None:
    assert "valid" in evolve("validate", "run.yaml").stdout
    evolve("run", "run.yaml", "--limit", "3")
    output = tmp_path / "out" / "personas"
    first = json.loads((output / "report.json").read_text(encoding="utf-8"))["records"]
    assert first["kept"] == 3 * 2
    assert (output / "analyses" / "vocabulary" / "_SUCCESS").exists()

    told = evolve("run", "run.yaml").stdout
    assert "3 done" in told
    assert json.loads((output / "report.json").read_text(encoding="utf-8"))["records"]["kept"] == 8 * 2
    # the step at the end has measured the new records too
    groups = json.loads((output / "analyses" / "vocabulary" / "summary.json").read_text(encoding="utf-8"))
    assert [(group["evolver"], group["round"]) for group in groups] == [("small", 1), ("small", 2)]

    evolve("report", "out/personas", "--to", "page")
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert 'id="vocabulary"' in page
    evolve("export", "out/personas", "sft", "--format", "question_answer")
    lines = (tmp_path / "sft" / "train" / "00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8 * 2
    assert set(json.loads(lines[0])) == {"record_id", "question", "answer"}
    evolve("select", "out/personas", "rich", "--by", "different_words", "--top", "4")
    assert len(evolve("longest", "rich", "--rows", "4").stdout.splitlines()) == 4

    changed = evolve("run", "run.yaml", "--set", "strategy.personas=[a nurse]", code=2).stderr
    assert "strategy.personas" in changed


def test_a_wrong_configuration_is_told_as_of_a_shipped_kind(evolve: Evolve) -> None:
    finish = "finish=[{kind: vocabulary, min_letters: x}]"
    told = evolve("validate", "run.yaml", "--set", "strategy.persona=[x]", "--set", finish, code=2)
    assert "finish.0.min_letters: Input should be a valid integer" in told.stderr
    assert "strategy.persona: unknown field; did you mean personas? (allowed: elimination, " in told.stderr
    told = evolve("validate", "run.yaml", "--set", "strategy.kind=personae", code=2)
    assert "'persona', got 'personae'; did you mean persona?" in told.stderr


def test_a_template_of_ones_own_takes_the_place_of_its_template(evolve: Evolve, tmp_path: Path) -> None:
    template = tmp_path / "mine" / "persona" / "rewrite.txt"
    template.parent.mkdir(parents=True)
    template.write_text("As {persona}: {instruction}", encoding="utf-8")
    evolve("validate", "run.yaml", "--set", "strategy.templates=mine")
    template.write_text("As {person}: {instruction}", encoding="utf-8")
    told = evolve("validate", "run.yaml", "--set", "strategy.templates=mine", code=2)
    assert "placeholder {persona} is missing" in told.stderr


def test_what_raises_while_it_is_loaded_names_itself(evolve: Evolve, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("import slm_evolve_personas\n\nraise RuntimeError('no licence')\n")
    told = evolve("validate", "run.yaml", "--set", "strategy.kind=faulty:Kind", code=2)
    assert "faulty:Kind cannot be loaded: RuntimeError: no licence" in told.stderr
    assert "faulty.py:3" in told.stderr


def test_the_schema_of_its_environment_knows_it(evolve: Evolve) -> None:
    assert "personas" in json.loads(evolve("schema", "run").stdout)["$defs"]["PersonaConfig"]["properties"]
