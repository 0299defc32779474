"""The import rules: which package and which room may import what. See CONTRIBUTING.md for the reasons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.house import PACKAGES, imports

ROOT = Path(__file__).parents[1]

ALLOWED: dict[str, tuple[str, ...]] = {
    # The project's packages point one way: ray_jobs -> evolve, scoring.
    "evolve": ("evolve/", "ray_jobs/"),
    "scoring": ("scoring/", "ray_jobs/"),
    "ray_jobs": ("ray_jobs/",),
    "slm_evolve_demo": ("slm_evolve_demo/", "ray_jobs/cli/"),
    # One seam, one heavy dependency.
    "ray": tuple(f"ray_jobs/{room}/" for room in ("pipeline", "runner", "jobs", "forecast", "service", "cli")),
    "pyarrow": ("ray_jobs/", "scoring/"),
    "vllm": ("evolve/engines/vllm_",),
    "fsspec": ("ray_jobs/storage/store.py",),
    "matplotlib": ("ray_jobs/report/style.py", "ray_jobs/report/plots.py"),
    "jinja2": ("ray_jobs/report/page.py", "evolve/engines/chat.py", "evolve/engines/rendering.py"),
    "torch": ("scoring/forward/", "scoring/encoder.py"),
}
"""Top-level module -> the folders and files (relative to the root) that may import it. Others are free."""

_GROUND = ("errors",)
_TABLE = (*_GROUND, "storage", "config", "seeds", "output")
_JOBS = (*_TABLE, "pipeline", "runner", "datasets", "report", "jobs")
ROOMS: dict[str, dict[str, tuple[str, ...]]] = {
    "ray_jobs": {
        "errors": (),
        "storage": _GROUND,
        "config": _GROUND,
        "seeds": (*_GROUND, "storage", "config"),
        "output": (*_GROUND, "storage", "config", "seeds"),
        "pipeline": _TABLE,
        "runner": (*_TABLE, "pipeline"),
        "datasets": _TABLE,
        "report": (*_TABLE, "datasets"),
        "jobs": _JOBS[:-1],
        "forecast": _JOBS,
        "service": (*_JOBS, "forecast"),
        "cli": (*_JOBS, "forecast", "service"),
    },
    # what lies beside the rooms of `evolve` is the ground on which they stand
    "evolve": {
        "strategies": (),
        "engines": (),
        "testing": (),
        "sandbox": (),
        "judging": ("strategies",),
        "autoif": ("strategies", "sandbox"),
        "method_search": ("strategies",),
    },
}
"""Package -> room -> the rooms to its left, which it may import. The face of a package may import all of its rooms."""

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def room_of(path: str) -> str | None:
    """The room of a file (relative to the root, with /), or its name beside the rooms; None for a package's face."""
    room = path.removesuffix(".py").split("/")[1]
    return None if room == "__init__" else room


def violations(source: str, path: str) -> list[str]:
    """The imports in `source` that a file at `path` (relative to the root, with /) may not have."""
    found, room, package = list[str](), room_of(path), path.split("/")[0]
    rooms = ROOMS.get(package, {})
    for line, name in imports(source):
        top, *inner = name.split(".")
        if top in ALLOWED and not path.startswith(ALLOWED[top]):
            found.append(f"{path}:{line} imports {name}, which only {', '.join(ALLOWED[top])} may")
        if room is None or top != package or not inner or inner[0] == room or inner[0] not in rooms:
            continue
        if inner[0] not in rooms.get(room, ()):
            found.append(
                f"{path}:{line} imports {name}: {room} may import {', '.join(rooms.get(room, ())) or 'no room'}"
            )
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in SOURCES])
def test_imports_keep_to_the_rules(path: str) -> None:
    assert violations((ROOT / path).read_text(encoding="utf-8"), path) == []


def test_serve_has_two_seams() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for _, name in imports(path.read_text(encoding="utf-8"))
        if name.startswith("ray.serve")
    }
    assert found == {"ray_jobs/service/app.py", "ray_jobs/service/deployments.py"}


def test_no_file_of_tests_loads_torch_while_it_is_collected() -> None:
    # each process that runs tests collects all of them, and most run none that loads a model
    slow = re.compile(r"^(import|from) (torch|transformers|vllm|scoring\.(forward|entailment|encoder))\b", re.MULTILINE)
    found = [str(path) for path in (ROOT / "tests").rglob("*.py") if slow.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_every_package_and_room_is_looked_at() -> None:
    paths = [str(path.relative_to(ROOT)) for path in SOURCES]
    assert {path.split("/")[0] for path in paths} == set(PACKAGES)
    for package, rooms in ROOMS.items():
        inside = [path for path in paths if path.startswith(f"{package}/")]
        assert {path.split("/")[1] for path in inside if path.count("/") > 1} <= set(rooms), package
        assert set(rooms) <= {room_of(path) for path in inside}, package
    # beside the rooms of ray_jobs there is nothing
    alone = {path for path in paths if path.startswith("ray_jobs/") and path.count("/") == 1}
    assert alone == {"ray_jobs/__init__.py", "ray_jobs/errors.py"}


@pytest.mark.parametrize("package", ROOMS)
def test_the_rooms_stand_in_a_row(package: str) -> None:
    seen = set[str]()
    for room, left in ROOMS[package].items():
        assert set(left) <= seen, room
        seen.add(room)


def test_no_rule_names_a_file_that_is_gone() -> None:
    seams = {seam for allowed in ALLOWED.values() for seam in allowed if seam.endswith(".py")}
    assert [seam for seam in sorted(seams) if not (ROOT / seam).is_file()] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evolve/flow.py", "import ray"),
        ("evolve/flow.py", "from scoring.records import Pair"),
        ("evolve/flow.py", "import json, ray_jobs.output.schema as schema"),
        ("evolve/engine.py", "def load():\n    from vllm import LLM\n"),
        ("evolve/engine.py", "if TYPE_CHECKING:\n    import pyarrow.parquet"),
        ("evolve/engine.py", "importlib.import_module('torch.nn')"),
        ("evolve/engine.py", "__import__('fsspec')"),
        ("scoring/ifd.py", "class A:\n    def f(self):\n        import torch\n"),
        ("scoring/forward/loss.py", "from ray.data import Dataset"),
        ("scoring/forward/loss.py", "from evolve import records"),
        ("ray_jobs/pipeline/actors.py", "from vllm.v1.engine.async_llm import AsyncLLM"),
        ("ray_jobs/output/parts.py", "import fsspec.core"),
        ("ray_jobs/output/parts.py", "from ray.data import Datasink"),
        ("ray_jobs/storage/store.py", "from ray_jobs.config.base import Strict"),
        ("ray_jobs/config/base.py", "from ray_jobs.storage.store import Store"),
        ("ray_jobs/output/plan.py", "from ray_jobs.pipeline import monitor"),
        ("ray_jobs/datasets/select.py", "def f():\n    from ray_jobs.runner.run import run\n"),
        ("ray_jobs/runner/run.py", "from ray_jobs.report.page import Page"),
        ("ray_jobs/jobs/synthesis.py", "from ray_jobs import cli"),
        ("ray_jobs/errors.py", "from ray_jobs.storage.store import Store"),
        ("evolve/flow.py", "from evolve.strategies.rounds import Judge"),
        ("evolve/strategies/respond.py", "from evolve.testing.scripted_engine import Script"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(violations(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evolve/flow.py", "from evolve.records import Prompt\nimport raylib, arrow"),
        ("evolve/engines/vllm_engine.py", "from vllm import SamplingParams"),
        ("scoring/forward/loss.py", "import torch"),
        ("ray_jobs/jobs/synthesis.py", "import ray\nimport evolve.flow\nfrom scoring import ifd\nimport pyarrow as pa"),
        ("ray_jobs/jobs/finish.py", "from ray_jobs.report.make import report\nfrom ray_jobs.runner.run import run"),
        ("ray_jobs/__init__.py", "from ray_jobs.cli.app import main"),
        ("evolve/autoif/rules.py", "from evolve.strategies.elimination import Elimination"),
    ],
)
def test_an_allowed_import_passes(path: str, source: str) -> None:
    assert violations(source, path) == []
