"""Marks tests by what they use, so that `make quick` leaves out whatever starts Ray or loads a model.

A fixture gives its mark to every test that uses it. A test that starts Ray otherwise says so by `pytest.mark.ray`; in
every run, starting Ray fails in a test without it and in the Python processes that such a test starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.no_ray.sitecustomize import FORBIDDEN, forbid

BY_FIXTURE = {
    "local_ray": "ray",
    "head": "ray",
    "cluster": "ray",
    "smollm2_dir": "engine",
    "small_model_dir": "engine",
    "tiny": "slow",
    "encoder_dir": "slow",
}
"""Fixture -> the mark of the tests that use it, also by way of other fixtures."""
NO_RAY = Path(__file__).parent / "no_ray"
DRIVERS = set[Path]()
"""The files whose tests run as a driver of Ray."""


def pytest_configure(config: pytest.Config) -> None:
    """Watch over what this process starts."""
    sys.addaudithook(forbid)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark, before marks are selected by."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for mark in {BY_FIXTURE[name] for name in fixtures if name in BY_FIXTURE}:
            item.add_marker(mark)
        if "local_ray" in fixtures:
            DRIVERS.add(item.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Forbid Ray to a test that is not marked, and to its processes; leave it before a file that is no driver of it."""
    if item.path not in DRIVERS and (ray := sys.modules.get("ray")) and ray.is_initialized():
        ray.shutdown()
    if item.get_closest_marker("ray"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FORBIDDEN, "1")
        patch.setenv("PYTHONPATH", str(NO_RAY), prepend=os.pathsep)
        return (yield)
