"""The lock files hold what pyproject.toml asks for, and not what must stay out."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(name: str) -> dict[str, str]:
    """Canonical name -> version, of one lock file."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(package)): version for package, version in pairs}


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        (["cpu.txt"], PROJECT["dependencies"] + EXTRAS["cpu"] + EXTRAS["demo"]),
        (["gpu.txt"], PROJECT["dependencies"] + EXTRAS["gpu"] + EXTRAS["demo"]),
        (["cpu.txt", "dev.txt"], EXTRAS["dev"]),
    ],
    ids=["cpu", "gpu", "dev"],
)
def test_the_lock_answers_every_requirement(files: list[str], asked: list[str]) -> None:
    locked = {name: version for file in files for name, version in pins(file).items()}
    needs = {canonicalize_name(need.name): need.specifier for need in map(Requirement, asked)}
    if "cpu.txt" in files:
        needs.pop("torch", None)  # installed first, by itself
    wrong = {name: locked.get(name) for name, allowed in needs.items() if locked.get(name, "0") not in allowed}
    assert wrong == {}


def test_the_cpu_lock_leaves_out_what_breaks_text_only_installs() -> None:
    out = {"torch", "torchvision", "torchaudio", "torchcodec", "triton", "llama-cpp-python"}
    assert out & set(pins("cpu.txt")) == set()


def test_dev_only_adds() -> None:
    assert set(pins("dev.txt")) & set(pins("cpu.txt")) == set()
