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
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow  # it makes an environment, and each command is a process

ROOT = Path(__file__).parents[1]
# all commands of a test in one process: starting each takes seconds
PROGRAM = """
import contextlib, io, json, sys
from ray_jobs.cli import main
done = []
for command in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(command)
        except SystemExit as ended:
            code = ended.code or 0
    done.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
print(json.dumps(done))
"""


class Done(NamedTuple):
    """What a command left with, and what it said."""

    code: int
    out: str
    err: str


Evolve = Callable[..., list[Done]]


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
    """Calls commands in that environment, in a folder with the example's configuration and seeds."""
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "seeds.jsonl", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "plugin" / "run.yaml", tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}

    def call(*commands: list[str]) -> list[Done]:
        command = [python, "-c", PROGRAM, json.dumps(commands)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return [Done(**item) for item in json.loads(done.stdout.splitlines()[-1])]

    return call


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_all_that_it_adds_works_together(evolve: Evolve, tmp_path: Path) -> None:
    output = tmp_path / "out" / "personas"
    valid, run = evolve(["validate", "run.yaml"], ["run", "run.yaml", "--limit", "3"])
    assert (valid.code, run.code) == (0, 0), valid.err + run.err
    assert "valid" in valid.out
    assert json.loads((output / "report.json").read_text(encoding="utf-8"))["records"]["kept"] == 3 * 2
    assert (output / "analyses" / "vocabulary" / "_SUCCESS").exists()

    run, report, export, select, longest, changed = evolve(
        ["run", "run.yaml"],
        ["report", "out/personas", "--to", "page"],
        ["export", "out/personas", "sft", "--format", "question_answer"],
        ["select", "out/personas", "rich", "--by", "different_words", "--top", "4"],
        ["longest", "rich", "--rows", "4"],
        ["run", "run.yaml", "--set", "strategy.personas=[a nurse]"],
    )
    assert [done.code for done in (run, report, export, select, longest)] == [0] * 5, run.err
    assert "3 done" in run.out
    assert json.loads((output / "report.json").read_text(encoding="utf-8"))["records"]["kept"] == 8 * 2
    # the step at the end has measured the new records too
    groups = json.loads((output / "analyses" / "vocabulary" / "summary.json").read_text(encoding="utf-8"))
    assert [(group["evolver"], group["round"]) for group in groups] == [("small", 1), ("small", 2)]
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert 'id="vocabulary"' in page
    lines = (tmp_path / "sft" / "train" / "00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 8 * 2
    assert set(json.loads(lines[0])) == {"record_id", "question", "answer"}
    assert len(longest.out.splitlines()) == 4
    assert changed.code == 2
    assert "strategy.personas" in changed.err


def test_a_wrong_configuration_is_told_as_of_a_shipped_kind(evolve: Evolve) -> None:
    finish = "finish=[{kind: vocabulary, min_letters: x}]"
    fields, kind = evolve(
        ["validate", "run.yaml", "--set", "strategy.persona=[x]", "--set", finish],
        ["validate", "run.yaml", "--set", "strategy.kind=personae"],
    )
    assert (fields.code, kind.code) == (2, 2)
    assert "finish.0.min_letters: Input should be a valid integer" in fields.err
    assert "strategy.persona: unknown field; did you mean personas? (allowed: elimination, " in fields.err
    assert "'persona', got 'personae'; did you mean persona?" in kind.err


def test_a_template_of_ones_own_takes_the_place_of_its_template(evolve: Evolve, tmp_path: Path) -> None:
    for name, placeholder in (("mine", "persona"), ("wrong", "person")):
        template = tmp_path / name / "persona" / "rewrite.txt"
        template.parent.mkdir(parents=True)
        template.write_text(f"As {{{placeholder}}}: {{instruction}}", encoding="utf-8")
    mine, wrong = evolve(
        ["validate", "run.yaml", "--set", "strategy.templates=mine"],
        ["validate", "run.yaml", "--set", "strategy.templates=wrong"],
    )
    assert (mine.code, wrong.code) == (0, 2), mine.err
    assert "placeholder {persona} is missing" in wrong.err


def test_what_raises_while_it_is_loaded_names_itself_and_the_schema_knows_the_others(
    evolve: Evolve, tmp_path: Path
) -> None:
    (tmp_path / "faulty.py").write_text("import slm_evolve_personas\n\nraise RuntimeError('no licence')\n")
    told, schema = evolve(["validate", "run.yaml", "--set", "strategy.kind=faulty:Kind"], ["schema", "run"])
    assert told.code == 2
    assert "faulty:Kind cannot be loaded: RuntimeError: no licence" in told.err
    assert "faulty.py:3" in told.err
    assert "personas" in json.loads(schema.out)["$defs"]["PersonaConfig"]["properties"]
