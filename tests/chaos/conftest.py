"""One cluster and one S3 server for all chaos tests, and the records of an undisturbed run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.jobs import Job, Place, Records, settings
from tests.chaos.nodes import Nodes, nodes
from tests.ray_jobs.conftest import s3_client, s3_options, s3_url
from tests.ray_jobs.fault_proxy import FaultProxy, fault_proxy

__all__ = ["s3_client", "s3_options", "s3_url"]
SEEDS = 300
"""Of the short tests: twice as many rows, four times as many records."""
MakeJob = Callable[..., Job]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    """Two worker nodes, shared by all chaos tests: starting them costs more than a test."""
    with nodes() as running:
        yield running


@pytest.fixture
def proxy(s3_options: dict[str, Any]) -> Iterator[FaultProxy]:
    """What stands between a job and the S3 server."""
    with fault_proxy(s3_options["endpoint_url"]) as running:
        yield running


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty output on local disk, and one on S3."""
    if request.param == "local":
        return Place(str(tmp_path / "out"))
    options = request.getfixturevalue("s3_options")
    return Place(f"{request.getfixturevalue('s3_url')}/run", options)


@pytest.fixture
def s3_place(s3_url: str, s3_options: dict[str, Any]) -> Place:
    """An empty output on S3."""
    return Place(f"{s3_url}/run", s3_options)


@pytest.fixture
def behind_proxy(s3_url: str, s3_options: dict[str, Any], proxy: FaultProxy) -> Place:
    """An empty output on S3 that is reached through the proxy, with the retries that the product has by default."""
    options = {key: value for key, value in s3_options.items() if key != "config_kwargs"}
    return Place(f"{s3_url}/run", {**options, "endpoint_url": proxy.url})


@pytest.fixture
def make_job(cluster: Nodes, tmp_path: Path) -> Iterator[MakeJob]:
    """A job on the cluster: where its output goes, and what differs from the usual settings, by dotted path.

    No command of it outlives the test.
    """
    jobs = []

    def make(place: Place, seeds: int = SEEDS, **changes: Any) -> Job:
        config = settings(cluster, tmp_path, place, seeds)
        for path, value in changes.items():
            *above, last = path.split("__")
            target = config
            for name in above:
                target = target[name]
            target[last] = value
        jobs.append(Job(tmp_path, config))
        return jobs[-1]

    yield make
    for job in jobs:
        job.end()


@pytest.fixture(scope="session")
def undisturbed(cluster: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Records:
    """The records of the usual job when nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = Job(folder, settings(cluster, folder, Place(str(folder / "out")), SEEDS))
    job.finish()
    job.verify()
    assert job.rows() == 2 * SEEDS
    return job.records()
