"""An output to measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import write_output
from tests.ray_jobs.jobs.analysis.measured import RECORDS


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """RECORDS in two parts."""
    write_output(open_store(str(tmp_path / "run")), [RECORDS[:33], RECORDS[33:]])
    return tmp_path / "run"
