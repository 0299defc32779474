"""A real S3 server on loopback, and real Rays."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import ray
from moto.server import ThreadedMotoServer
from ray.cluster_utils import Cluster

from tests.ray_jobs.ray_head import RayHead, ray_head

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, Any]]:
    """Storage options for the server: endpoint and credentials, with retries that give up soon."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "endpoint_url": f"http://{host}:{port}",
        "key": "test",
        "secret": "test",
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {"retries": {"total_max_attempts": 3, "mode": "standard"}},
    }
    server.stop()


@pytest.fixture(scope="session")
def s3_client(s3_options: dict[str, Any]) -> Any:
    """What makes buckets."""
    return boto3.client(
        "s3",
        endpoint_url=s3_options["endpoint_url"],
        aws_access_key_id=s3_options["key"],
        aws_secret_access_key=s3_options["secret"],
        region_name="us-east-1",
    )


@pytest.fixture
def s3_url(s3_client: Any) -> str:
    """The URL of a fresh, empty bucket."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    """A Ray head with token authentication."""
    with ray_head(cpus=12) as started:
        yield started


@pytest.fixture(scope="session")
def small_cluster() -> Iterator[str]:
    """The address of a Ray of this machine, its GPUs mere numbers. It starts once: that costs ten seconds of a core."""
    # short, for the paths of Unix sockets are limited
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        with pytest.MonkeyPatch.context() as patch:
            # here Ray writes down which cluster is the latest, and no other Ray on this host is to join ours
            patch.setenv("RAY_TMPDIR", folder)
            Path(folder, "ray").mkdir()
            resources = {"num_cpus": 12, "num_gpus": 4, "object_store_memory": 100 << 20}
            node = {**resources, "include_dashboard": False, "temp_dir": f"{folder}/r"}
            cluster = Cluster(initialize_head=True, head_node_args=node)
        yield cluster.address
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def local_ray(small_cluster: str) -> None:
    """This process is a driver on the small cluster, on which `run` works without starting a Ray of its own.

    It stays one for the next file that uses this (tests/marks.py), whose runs then find workers that have started.
    """
    if not ray.is_initialized():
        # workers import what they can from where their driver stood, and a test may stand elsewhere
        with contextlib.chdir(ROOT):
            ray.init(address=small_cluster, log_to_driver=False, logging_level=logging.ERROR)
