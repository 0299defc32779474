"""A real S3 server on loopback, and real Rays."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import ray
from hypothesis import settings
from moto.server import ThreadedMotoServer

from tests.ray_jobs.ray_head import RayHead, ray_head

# a shared machine may be slow at any moment, and examples that write files are
settings.register_profile("files", deadline=None, max_examples=40)
settings.load_profile("files")


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


@pytest.fixture
def s3_url(s3_options: dict[str, Any]) -> str:
    """The URL of a fresh, empty bucket."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    client = boto3.client(
        "s3",
        endpoint_url=s3_options["endpoint_url"],
        aws_access_key_id=s3_options["key"],
        aws_secret_access_key=s3_options["secret"],
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    """A Ray head with token authentication."""
    with ray_head(cpus=12) as started:
        yield started


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A small Ray of this machine, its GPUs mere numbers, in which `run` works without starting one of its own."""
    # short, for the paths of Unix sockets are limited
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=12,
            num_gpus=4,
            object_store_memory=100 << 20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
        )
        yield
        ray.shutdown()
