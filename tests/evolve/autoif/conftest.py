"""The sandbox that every test here runs functions in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evolve.sandbox import Limits, Sandbox


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    with Sandbox(Limits(wall_seconds=5, cpu_seconds=1)) as sandbox:
        yield sandbox
