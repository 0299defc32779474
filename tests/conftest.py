"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests import marks, side_by_side
from tests.summary import Summary

# a shared machine may be slow at any moment, and examples that write files are
settings.register_profile("files", deadline=None, max_examples=40)
settings.load_profile("files")


def pytest_configure(config: pytest.Config) -> None:
    """Add the project's own plugins."""
    config.pluginmanager.register(marks, "marks")
    config.pluginmanager.register(side_by_side, "side_by_side")
    config.pluginmanager.register(Summary(config.getini("markers"), config.option.markexpr), "summary")


def shared_dir() -> Path:
    """The folder of real inputs and reference values: $EVOLVE_SHARED, or `shared` beside the project.

    Skips the test where it is absent.
    """
    default = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("EVOLVE_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"no shared inputs at {folder}; EVOLVE_SHARED may name them")
    return folder


@pytest.fixture
def shared() -> Path:
    """`shared_dir` as a fixture."""
    return shared_dir()


def _model_dir(name: str) -> Path:
    default = Path(__file__).parents[1] / ".cache" / "models"
    folder = Path(os.environ.get("EVOLVE_MODELS", default)) / name
    if not (folder / "config.json").is_file():
        absent = f"no model at {folder}; `make models` makes it, EVOLVE_MODELS may name another place"
        if os.environ.get("CI") == "true":
            pytest.fail(absent)
        pytest.skip(absent)
    return folder


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """The folder of SmolLM2-135M-Instruct. Skips where it is absent, fails where CI=true."""
    return _model_dir("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def small_model_dir() -> Path:
    """The folder of the same model with fewer layers. Skips where it is absent, fails where CI=true."""
    return _model_dir("smollm2-24l")
