"""The small output of the tests of datasets."""

from tests.ray_jobs.datasets.conftest import output, target

__all__ = ["output", "target"]
