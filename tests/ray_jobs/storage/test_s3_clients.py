"""What the clients of many stores share, and what they do not."""

from __future__ import annotations

import s3fs

from ray_jobs.storage.s3 import share_data


def test_what_botocore_knows_of_s3_is_read_once_and_credentials_are_each_ones_own() -> None:
    systems = [s3fs.S3FileSystem(skip_instance_cache=True) for _ in range(2)]
    for fs in systems:
        share_data(fs)
    first, second = (fs.session for fs in systems)
    assert first.get_component("data_loader") is second.get_component("data_loader")
    assert first is not second


def test_a_session_of_ones_own_stays() -> None:
    fs = s3fs.S3FileSystem(skip_instance_cache=True, profile="mine")
    share_data(fs)
    assert fs.session is None
