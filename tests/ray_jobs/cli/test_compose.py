"""The command of docker/compose.yaml that needs an object store, against one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import s3fs
import yaml

COMPOSE = yaml.safe_load((Path(__file__).parents[3] / "docker" / "compose.yaml").read_text())


@pytest.mark.slow
def test_the_bucket_service_makes_its_bucket(s3_options: dict[str, Any]) -> None:
    [python, flag, code] = COMPOSE["services"]["bucket"]["command"]
    assert (python, flag) == ("python", "-c")
    local = code.replace("http://s3:5000", s3_options["endpoint_url"])
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", local], env=keys, check=True)
    assert "evolve" in s3fs.S3FileSystem(skip_instance_cache=True, **s3_options).ls("")


def test_the_health_check_of_the_store_asks_for_a_page_that_it_has(s3_options: dict[str, Any]) -> None:
    [kind, python, flag, code] = COMPOSE["services"]["s3"]["healthcheck"]["test"]
    assert (kind, python, flag) == ("CMD", "python", "-c")
    local = code.replace("http://127.0.0.1:5000", s3_options["endpoint_url"])
    subprocess.run([sys.executable, "-c", local], check=True)
