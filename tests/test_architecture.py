"""The import rules: which package may import what. See CONTRIBUTING.md for the reasons."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("evolve", "scoring", "ray_jobs")

ALLOWED: dict[str, tuple[str, ...]] = {
    # The project's packages point one way: ray_jobs -> evolve, scoring.
    "evolve": ("evolve/", "ray_jobs/"),
    "scoring": ("scoring/", "ray_jobs/"),
    "ray_jobs": ("ray_jobs/",),
    # One seam, one heavy dependency.
    "ray": ("ray_jobs/",),
    "pyarrow": ("ray_jobs/", "scoring/"),
    "vllm": ("evolve/vllm_engine.py",),
    "fsspec": ("ray_jobs/storage.py",),
    "matplotlib": ("ray_jobs/dataset/page/style.py", "ray_jobs/dataset/page/plots.py"),
    "jinja2": ("ray_jobs/dataset/page/page.py",),
    "torch": (
        "scoring/forward/",
        "scoring/encoder.py",
        "ray_jobs/demo_models.py",  # converts model files by hand, outside any run
    ),
}
"""Top-level module -> the folders and files (relative to the root) that may import it. Others are free."""

SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level module of every absolute import in `tree`, wherever it stands, also by name at run time."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name.split(".")[0]) for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield node.lineno, module.split(".")[0]
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name.split(".")[0]


def violations(source: str, path: str) -> list[str]:
    """The imports in `source` that a file at `path` (relative to the root, with /) may not have."""
    return [
        f"{path}:{line} imports {module}, which only {', '.join(ALLOWED[module])} may"
        for line, module in imports(ast.parse(source))
        if module in ALLOWED and not path.startswith(ALLOWED[module])
    ]


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in SOURCES])
def test_imports_keep_to_the_rules(path: str) -> None:
    assert violations((ROOT / path).read_text(encoding="utf-8"), path) == []


def test_every_package_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(PACKAGES)


def test_no_rule_names_a_file_that_is_gone() -> None:
    seams = {seam for allowed in ALLOWED.values() for seam in allowed if seam.endswith(".py")}
    assert [seam for seam in sorted(seams) if not (ROOT / seam).is_file()] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evolve/flow.py", "import ray"),
        ("evolve/flow.py", "from scoring.records import Pair"),
        ("evolve/flow.py", "import json, ray_jobs.rows as rows"),
        ("evolve/engine.py", "def load():\n    from vllm import LLM\n"),
        ("evolve/engine.py", "if TYPE_CHECKING:\n    import pyarrow.parquet"),
        ("evolve/engine.py", "importlib.import_module('torch.nn')"),
        ("evolve/engine.py", "__import__('fsspec')"),
        ("scoring/ifd.py", "class A:\n    def f(self):\n        import torch\n"),
        ("scoring/forward/loss.py", "from ray.data import Dataset"),
        ("scoring/forward/loss.py", "from evolve import records"),
        ("ray_jobs/actors.py", "from vllm.v1.engine.async_llm import AsyncLLM"),
        ("ray_jobs/parts.py", "import fsspec.core"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str) -> None:
    assert len(violations(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evolve/flow.py", "from evolve.records import Prompt\nfrom . import errors\nimport raylib, arrow"),
        ("evolve/vllm_engine.py", "from vllm import SamplingParams"),
        ("scoring/forward/loss.py", "import torch"),
        ("ray_jobs/synthesize.py", "import ray\nimport evolve.flow\nfrom scoring import ifd\nimport pyarrow as pa"),
    ],
)
def test_an_allowed_import_passes(path: str, source: str) -> None:
    assert violations(source, path) == []
