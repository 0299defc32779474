"""The place of an output, on both kinds of store."""

from __future__ import annotations

from pathlib import Path

import pytest

from ray_jobs.storage.store import Store, open_store


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return open_store(str(tmp_path / "out"))
    return open_store(f"{request.getfixturevalue('s3_url')}/run", request.getfixturevalue("s3_options"))
