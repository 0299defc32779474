"""Joining a Ray cluster, or starting a local one that a small machine can carry."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray
from ray.data import DataContext
from ray.data.context import EXECUTION_CALLBACKS_ENV_VAR

from ray_jobs.config.run import LimitsConfig, RayConfig
from ray_jobs.errors import ClusterError
from ray_jobs.pipeline.backpressure import KeepQueuesShort
from ray_jobs.runner import signals
from ray_jobs.runner.address import starts_here
from ray_jobs.runner.keeper import Keeper, end, keeper, kill
from ray_jobs.runner.local_ray import private_ray, starting
from ray_jobs.runner.organs import organs, watched
from ray_jobs.runner.ray_log import connecting_apart
from ray_jobs.runner.watch import EndOnRequest

log = logging.getLogger(__name__)
LOST = ClusterError.exit_code
QUIET = ("ray", "ray.train", "vllm", "transformers")

KNOCK_SECONDS = 10.0
POLL_SECONDS = 0.1
STOP_SECONDS = 3.0
"""How long Ray's start may go on once the run is asked to stop."""
LEAVE_SECONDS = 30.0
IDLE_WORKER_MS = "60000"
"""How long a process of a local cluster waits for its next task before it is ended."""


@contextmanager
def cluster(config: RayConfig, cpus: int, verbose: bool, dashboard: bool = False) -> Iterator[None]:
    """Be connected to Ray while the context lasts; what was connected before stays so.

    Without an address and outside a Ray job, a local cluster is started with `cpus` logical CPUs, as many as the pools
    need, whatever the machine has: an actor that waits for a model's tokens needs no core of its own. It is private to
    this process and ends with it, however that ends. With `dashboard` it takes jobs, of whoever has its token.

    Raises ClusterError where Ray cannot be had, and what a run that listens to signals is asked to end with.
    """
    if ray.is_initialized():
        yield
        return
    _quieten(verbose)
    where = _where(config, cpus, dashboard)
    if where.get("address") != "local":
        with _connected(where, verbose, None):
            yield
        return
    with (
        keeper() as kept,
        signals.last_act(lambda: kill(kept.processes())),
        private_ray(),
        _connected(where, verbose, kept),
    ):
        yield


@contextmanager
def _connected(where: dict[str, Any], verbose: bool, kept: Keeper | None) -> Iterator[None]:
    """Be connected, and end the process should Ray lose what it cannot be without: it would, with no word of ours.

    Of a cluster that is `kept` nothing is left behind.
    """
    connection = Connection(lambda: _connect(where, verbose, kept))
    try:
        connection.wait()
        signals.check()
        with watched(organs(kept is not None), lambda gone: signals.end_at_once(_lost(where, gone), LOST)):
            yield
    finally:
        left = kept.processes() if kept else []
        connection.leave()
        for line in end(left):
            log.warning(line)


class Connection(threading.Thread):
    """Connects to Ray and leaves it, in a thread of its own.

    In the main thread Ray would put a signal handler of its own in place of ours. The processes of a local cluster end
    with the thread that started them.
    """

    def __init__(self, connect: Callable[[], None]) -> None:
        super().__init__(name="ray", daemon=True)
        self._connect = connect
        self._ready, self._leave = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Connect, and stay until asked to leave."""
        try:
            self._connect()
        except BaseException as error:  # raised by `wait` in its caller's thread
            self._error = error
            return
        finally:
            self._ready.set()
        self._leave.wait()
        ray.shutdown()

    def wait(self) -> None:
        """Wait until connected; not for longer than STOP_SECONDS once the run is asked to stop. Raises ClusterError."""
        asked_at = None
        while not self._ready.wait(POLL_SECONDS):
            if not (why := signals.asked()):
                continue
            asked_at = asked_at or time.monotonic()
            if time.monotonic() - asked_at > STOP_SECONDS:
                signals.end_at_once(str(why), why.exit_code)
        if self._error:
            raise self._error

    def leave(self) -> None:
        """Leave Ray, without waiting for longer than LEAVE_SECONDS."""
        self._leave.set()
        self.join(LEAVE_SECONDS)


def _lost(where: dict[str, Any], gone: str) -> str:
    return f"{_place(where)} is lost: {gone} has ended; what was finished is committed, and the same command goes on"


def configure_data(limits: LimitsConfig, verbose: bool) -> None:
    """Set up Ray Data for the calling thread: our own progress display, and limits that are the run's."""
    # by name: in the context it would travel to actors that other jobs on the cluster share, and cannot import it
    callbacks = (EndOnRequest, KeepQueuesShort)
    os.environ[EXECUTION_CALLBACKS_ENV_VAR] = ",".join(
        f"{callback.__module__}.{callback.__qualname__}" for callback in callbacks
    )
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.max_consecutive_actor_init_deaths = limits.engine_restarts
    # a thread a task that reads its process's memory: nobody looks at it
    context.memory_usage_poll_interval_s = None
    # ours says what is waited for, and sees tokens and actors that come, where Ray Data sees blocks alone
    context.execution_no_progress_timeout_s = -1


def _connect(where: dict[str, Any], verbose: bool, kept: Keeper | None) -> None:
    try:
        _knock(where.get("address") or os.environ["RAY_ADDRESS"])
        with starting(kept.keep) if kept else nullcontext(), connecting_apart(verbose):
            ray.init(log_to_driver=verbose, logging_level=logging.INFO if verbose else logging.ERROR, **where)
    except Exception as error:  # Ray has no root for what keeps it from starting: time-outs, sockets, bad addresses
        what = "start" if kept else "join"
        raise ClusterError(f"cannot {what} {_place(where)}: {type(error).__name__}: {str(error).strip()}") from error


def _place(where: dict[str, Any]) -> str:
    address = where.get("address") or os.environ["RAY_ADDRESS"]
    return "Ray on this machine" if address == "local" else f"the Ray cluster at {address}"


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT or ray://HOST:PORT, for which Ray itself waits for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def _where(config: RayConfig, cpus: int, dashboard: bool) -> dict[str, Any]:
    if not starts_here(config.address):
        return {"address": config.address} if config.address else {}
    # Ray's own second is over before the next block is to be written, and starting a process costs a second of CPU
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", IDLE_WORKER_MS)
    return {
        "address": "local",
        "num_cpus": config.num_cpus or cpus,
        "object_store_memory": config.object_store_memory,
        "include_dashboard": dashboard,
    }


def _quieten(verbose: bool) -> None:
    # read by the processes that Ray starts
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not verbose:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.ERROR)
    # a small run has fewer blocks than tasks that may write, which is in order
    warnings.filterwarnings("default" if verbose else "ignore", "The maximum number of concurrent tasks")
    # what ends a run is told by ours, once; Ray Data logs it with its own stack as well
    logging.getLogger("ray.data").setLevel(logging.INFO if verbose else logging.CRITICAL)
