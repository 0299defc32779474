"""The small output of the tests of datasets, and a larger one with its analyses."""

from __future__ import annotations

import pytest

from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.conftest import output, target
from tests.ray_jobs.datasets.outputs import Record
from tests.ray_jobs.report.compared import write_analyses, write_compared

__all__ = ["compared", "output", "target"]


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Record]]:
    """The output of two evolvers that share the seeds, and its records. Tests only read it."""
    store = open_store(str(tmp_path_factory.mktemp("compared") / "run"))
    records = write_compared(store, 60, parts=2)
    write_analyses(store, records)
    return store, records
