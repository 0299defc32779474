"""An output to measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ray_jobs.jobs.analysis.measured import write_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path)
