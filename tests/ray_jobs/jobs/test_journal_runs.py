"""Whole runs whose journal of replies alone has no room or no store: they end as they would have."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.ownership import claim
from ray_jobs.runner.run import run
from ray_jobs.storage.store import open_store
from tests.ray_jobs.fault_proxy import fault_proxy
from tests.ray_jobs.samples import run_config, write_seeds

pytestmark = pytest.mark.usefixtures("local_ray")


def mortal(folder: Path, **changes: Any) -> RunConfig:
    """A run whose engine dies once, so that rows begin again."""
    write_seeds(folder / "seeds.jsonl", [f"Count to {number}." for number in range(12)])
    engine = {"kind": "scripted", "die_after": 20, "marks": str(folder), "decode_rate": 400}
    evolvers = {"a": {"engine": engine, "pool": {"size": 1, "batch_rows": 4}}}
    own = {"evolvers": evolvers, "responder": {"kind": "evolver"}, "scorer": None, "limits": {"journal": 0.1}}
    return run_config(folder, **(own | changes))


def exact(config: RunConfig, folder: Path) -> bool:
    report = run(SynthesisJob(config), say=lambda _: None)
    assert (folder / "engine_died").exists()
    assert report["records"] == {"planned": 36, "kept": 36, "rejected": 0, "failed": 0}
    return bool(report["reconciles"])


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """The folder of an output's journal, on a disk of its own that one file fills."""
    claim(open_store(str(tmp_path / "out")), "run")
    place = tmp_path / "out" / "replies"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=4", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_for_the_journal_alone_costs_nothing_else(tmp_path: Path, full: Path) -> None:
    assert exact(mortal(tmp_path), tmp_path)
    assert ds.dataset(tmp_path / "out" / "data").count_rows() == 36


def test_a_store_that_refuses_the_journal_alone_costs_nothing_else(
    tmp_path: Path, s3_url: str, s3_options: dict[str, Any]
) -> None:
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        proxy.broken = "*replies*"
        storage = {**s3_options, "endpoint_url": proxy.url}
        assert exact(mortal(tmp_path, output=f"{s3_url}/run", storage=storage), tmp_path)
        assert proxy.failed > 5
    assert open_store(f"{s3_url}/run", s3_options).exists("_SUCCESS")
