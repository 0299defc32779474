"""The wheel works alone: installed in an environment of its own, away from the repository, it runs the demo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from slm_evolve_demo.files import HERE, PLACE, SEEDS, write_demo

ROOT = Path(__file__).parents[1]
PARTS = ("evolve", "scoring", "ray_jobs", "slm_evolve_demo", "requirements")
SCRIPTED = "{kind: scripted}"


def test_the_demo_s_files_are_those_of_the_examples(tmp_path: Path) -> None:
    assert (HERE / SEEDS).read_bytes() == (ROOT / "examples" / "seeds.jsonl").read_bytes()
    texts = [(HERE / "run.yaml").read_text(), (ROOT / "examples" / "quickstart.yaml").read_text()]
    paths = {"out/quickstart": "out", "examples/seeds.jsonl": SEEDS, ".cache/models": "models"}
    shipped = texts[0].replace(PLACE, "")
    example = texts[1]
    for path, own in paths.items():
        example = example.replace(path, own)
    assert yaml.safe_load(shipped) == yaml.safe_load(example)
    write_demo(tmp_path / "mine" / "run.yaml")
    assert PLACE not in (tmp_path / "mine" / "run.yaml").read_text()
    with pytest.raises(FileExistsError):
        write_demo(tmp_path / "mine" / "run.yaml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built of a copy, for setuptools builds in the folder itself."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    done = subprocess.run([*pip, "-w", folder, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [found] = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_it_ships_what_is_read_beside_the_code(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.partition(".data/data/")[2] or name for name in names}
    assert {"share/slm-evolve/cpu.txt", "share/slm-evolve/gpu.txt"} <= shipped
    beside = {
        str(path.relative_to(ROOT))
        for package in PARTS[:-1]
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert beside <= shipped


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_the_demo_runs_away_from_the_repository(wheel: Path, tmp_path: Path, smollm2_dir: Path) -> None:
    folder, place = tmp_path / "environment", tmp_path / "place"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    inner = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # the dependencies alone: .pth files of a folder that is on the path are not read, those of this project neither
    Path(inner, "around.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", "--quiet", wheel]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    place.mkdir()
    # the models as they are made, which takes half a minute
    (place / "models").symlink_to(smollm2_dir.parent.resolve())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def evolve(*arguments: str) -> str:
        command = [folder / "bin" / "evolve", *arguments]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [python, "-c", "import ray_jobs; print(ray_jobs.__file__)"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert where.startswith(str(folder))
    evolve("init", "--demo")
    engines = [f"{name}.engine={SCRIPTED}" for name in ("evolvers.smol-135m", "evolvers.smol-24l")]
    sets = [part for setting in (*engines, f"scorer={SCRIPTED}") for part in ("--set", setting)]
    evolve("run", "run.yaml", "--limit", "3", *sets)
    assert json.loads((place / "out" / "report.json").read_text())["records"]["kept"] == 3 * 2 * 2
    evolve("report", "out")
    assert (place / "out" / "report" / "index.html").stat().st_size > 0
