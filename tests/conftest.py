"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
