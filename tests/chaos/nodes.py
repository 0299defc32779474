"""A Ray cluster of several nodes, and the means to harm it: its processes are killed by id."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
from ray.cluster_utils import Cluster

Value = TypeVar("Value")
STARTUP = 240.0
"""Seconds that a process may take from its start to its first work, on a machine that others use too."""
OBJECT_STORE = 100 << 20
# a lost node is noticed in seconds instead of half a minute; workers start when they are needed
SETTINGS = {
    "health_check_initial_delay_ms": 2000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 4,
    "prestart_worker_first_driver": False,
}


class Nodes:
    """A head without CPUs, on which drivers run, and worker nodes."""

    def __init__(self, folder: Path, cpus: int) -> None:
        self._common: dict[str, Any] = {"object_store_memory": OBJECT_STORE, "include_dashboard": False}
        self._cpus = cpus
        head = {"num_cpus": 0, "_system_config": SETTINGS, "temp_dir": str(folder), **self._common}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._workers = [self._start(), self._start()]

    @property
    def address(self) -> str:
        """What `ray.address` is to be."""
        return str(self._cluster.address)

    def add(self) -> None:
        """One more worker node."""
        self._workers.append(self._start())

    def lose(self) -> None:
        """The oldest worker node is gone from one moment to the next."""
        node = self._workers.pop(0)
        self._cluster.remove_node(node, allow_graceful=False)

    def workers(self, title: str) -> list[psutil.Process]:
        """The worker processes whose title holds `title`, such as "evolve_small" or "ray::Write"."""
        found = []
        for node in (self._cluster.head_node, *self._workers):
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            found += [child for child in raylet.children(recursive=True) if title in _title(child)]
        return found

    def kill(self, title: str, within: float = STARTUP) -> None:
        """SIGKILL one worker process with that title, waiting for one to be there."""
        until(lambda: self.kill_any(title), within, f"a worker process named {title}")

    def kill_all(self, title: str) -> int:
        """SIGKILL every worker process with that title; how many there were."""
        return sum(_killed(worker) for worker in self.workers(title))

    def kill_any(self, title: str) -> bool:
        """SIGKILL one worker process with that title if there is one; whether there was."""
        return any(_killed(worker) for worker in self.workers(title)[:1])

    def close(self) -> None:
        """Stop all nodes."""
        self._cluster.shutdown()

    def _start(self) -> Any:
        return self._cluster.add_node(num_cpus=self._cpus, **self._common)


@contextmanager
def nodes(cpus: int = 2) -> Iterator[Nodes]:
    """A running cluster with two worker nodes of `cpus` logical CPUs each."""
    # short, for the paths of Unix sockets are
    with tempfile.TemporaryDirectory(prefix="rc", dir="/tmp", ignore_cleanup_errors=True) as name:
        before = os.environ.get("RAY_TMPDIR")
        # here Ray writes down which cluster is the latest, and no other Ray on this host is to join ours
        os.environ["RAY_TMPDIR"] = name
        Path(name, "ray").mkdir()
        try:
            cluster = Nodes(Path(name, "r"), cpus)
            try:
                yield cluster
            finally:
                cluster.close()
        finally:
            if before is None:
                del os.environ["RAY_TMPDIR"]
            else:
                os.environ["RAY_TMPDIR"] = before


def until(look: Callable[[], Value], seconds: float, what: str) -> Value:
    """What `look` returns as soon as it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)
    return found


def _killed(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:1])
    except psutil.Error:
        return ""
