"""A Ray of one's own on this machine: on loopback alone, with a token of its own, out of the reach of the terminal.

All that is changed of Ray's private names and of this process's environment for that is changed here, and put back.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray._private.parameter
import ray._private.ray_constants
import ray._private.services
import ray._raylet

_constants: Any = ray._private.ray_constants
_parameter: Any = ray._private.parameter
_services: Any = ray._private.services
_raylet: Any = ray._raylet

LOOPBACK = {_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0"}
"""What `starting` says to this process, for those that Ray starts, which read it when they import Ray."""
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"


@contextmanager
def private_ray() -> Iterator[None]:
    """Let the Ray that is started in the context answer to a fresh token only. It lies in no file.

    Whatever Ray's default and the user's environment say: both are back, also for Ray, when the context ends.
    """
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        with _environment({**token, **LOOPBACK}, without=(TOKEN_FILE,)):
            _read_again()
            yield
    finally:
        _read_again()


@contextmanager
def starting(keep: Callable[[int], None]) -> Iterator[None]:
    """Start a Ray in this context: it binds its ports to 127.0.0.1, and each of its processes has a session of its own.

    `keep` is told the raylet's session, in which agents, workers and all that these start are too. Ray asks for an
    address that other machines reach unless it takes this one for a system without clusters. A signal to this process's
    group, as a terminal's Ctrl-C, would end Ray before rows in flight are finished. Jobs are taken at a free port: at
    Ray's own only the first Ray of a machine would take any.
    """
    before = _constants.ENABLE_RAY_CLUSTER, _services.ConsolePopen, _parameter.RayParams

    class Apart(subprocess.Popen[bytes]):
        """A process in a session of its own."""

        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(command, **options, start_new_session=True)
            if command[0] == _services.RAYLET_EXECUTABLE:
                keep(self.pid)

    _constants.ENABLE_RAY_CLUSTER, _services.ConsolePopen = False, Apart
    _parameter.RayParams = partial(_parameter.RayParams, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        _constants.ENABLE_RAY_CLUSTER, _services.ConsolePopen, _parameter.RayParams = before


def _read_again() -> None:
    # Ray reads both once, when it is first asked
    _raylet.Config.initialize("")
    _raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(values: dict[str, str], without: tuple[str, ...]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in (*values, *without)}
    os.environ.update(values)
    for name in without:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
