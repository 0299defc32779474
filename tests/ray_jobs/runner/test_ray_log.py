"""Ray's own messages among ours: they are kept apart, unless they are asked for."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import ray._private.worker

from ray_jobs.runner import ray_log

NOISE = {"lines": ["Task failed. Traceback (most recent call last):"], "pid": "raylet", "is_err": False}
worker: Any = ray._private.worker


def test_what_ray_prints_of_failed_tasks_is_shown_only_where_it_is_asked_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    shown = worker.print_to_stdstream
    with ray_log.kept_apart(verbose=False):
        assert worker.print_to_stdstream is not shown
        worker.print_to_stdstream(NOISE, ignore_prefix=False)
        assert "".join(capfd.readouterr()) == ""
    with ray_log.kept_apart(verbose=True):
        assert worker.print_to_stdstream is shown
    assert worker.print_to_stdstream is shown


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_it_stands_in_rays_log_whose_folder_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    folder = ray_log.log_folder()
    assert folder is not None
    log = folder / ray_log.FILE
    with ray_log.kept_apart(verbose=False):
        worker.print_to_stdstream(NOISE, ignore_prefix=False)
    with ray_log.connecting_apart(verbose=False):
        os.write(2, b"logging.cc:303: Set ray log level\n")
    assert "".join(capfd.readouterr()) == ""
    assert {"Task failed", "logging.cc"} <= set(re.findall(r"Task failed|logging\.cc", log.read_text()))
    assert str(folder) in ray_log.with_log_folder("pool evolve_a: its actors died")
