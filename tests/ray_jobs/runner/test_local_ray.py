"""Which Ray a run starts for itself, and that nothing of that is left in the process. Starts none."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
import ray._raylet

from ray_jobs.runner.address import starts_here
from ray_jobs.runner.local_ray import private_ray


@pytest.mark.parametrize("variable", [None, "", "local"])
@pytest.mark.parametrize("address", [None, "local"])
def test_a_run_that_names_no_cluster_starts_one_of_its_own(
    address: str | None, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert starts_here(address)


def test_a_run_that_names_a_cluster_joins_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not starts_here("auto")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not starts_here(None)
    assert starts_here("local")


def test_ray_is_as_before_after_a_run_that_fails() -> None:
    before = dict(os.environ), ray._raylet.get_authentication_mode()
    with suppress(ZeroDivisionError), private_ray():
        assert os.environ["RAY_AUTH_TOKEN"] != before[0].get("RAY_AUTH_TOKEN")
        assert ray._raylet.get_authentication_mode() == ray._raylet.AuthenticationMode.TOKEN
        raise ZeroDivisionError
    assert (dict(os.environ), ray._raylet.get_authentication_mode()) == before
