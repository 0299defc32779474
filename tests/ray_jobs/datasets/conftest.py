"""A small finished output."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import record, write_output


@pytest.fixture
def output(tmp_path: Path) -> Store:
    """Sixty records of twelve seeds in three parts."""
    store = open_store(str(tmp_path / "run"))
    write_output(store, [[record(number) for number in range(60) if number // 3 % 3 == part] for part in range(3)])
    return store


@pytest.fixture
def target(tmp_path: Path) -> Store:
    """A folder that does not exist yet."""
    return open_store(str(tmp_path / "target"))
