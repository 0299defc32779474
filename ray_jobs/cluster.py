"""Joining a Ray cluster, or starting a local one that a small machine can carry."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.data import DataContext
from ray.data.context import EXECUTION_CALLBACKS_ENV_VAR

from ray_jobs.backpressure import KeepQueuesShort
from ray_jobs.config import LimitsConfig, RayConfig
from ray_jobs.errors import PoolError
from ray_jobs.watch import EndOnRequest

QUIET = ("ray", "ray.train", "vllm", "transformers")

KNOCK_SECONDS = 10.0
IDLE_WORKER_MS = "60000"
"""How long a process of a local cluster waits for its next task before it is ended."""


@contextmanager
def cluster(config: RayConfig, cpus: int, verbose: bool) -> Iterator[None]:
    """Be connected to Ray while the context lasts; what was connected before stays so.

    Without an address and outside a Ray job, a local cluster is started with `cpus` logical CPUs, as many as the pools
    need, whatever the machine has: an actor that waits for a model's tokens needs no core of its own.
    """
    mine = not ray.is_initialized()
    if mine:
        _quieten(verbose)
        _connect(verbose, _where(config, cpus))
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


def configure_data(limits: LimitsConfig, verbose: bool) -> None:
    """Set up Ray Data for the calling thread: our own progress display, and limits that are the run's."""
    # by name: in the context it would travel to actors that other jobs on the cluster share, and cannot import it
    callbacks = (EndOnRequest, KeepQueuesShort)
    os.environ[EXECUTION_CALLBACKS_ENV_VAR] = ",".join(f"{one.__module__}.{one.__qualname__}" for one in callbacks)
    context = DataContext.get_current()
    context.enable_progress_bars = verbose
    context.max_consecutive_actor_init_deaths = limits.engine_restarts
    # a thread a task that reads its process's memory: nobody looks at it
    context.memory_usage_poll_interval_s = None
    # ours says what is waited for, and sees tokens and actors that come, where Ray Data sees blocks alone
    context.execution_no_progress_timeout_s = -1


def _connect(verbose: bool, where: dict[str, Any]) -> None:
    try:
        _knock(where.get("address") or os.environ["RAY_ADDRESS"])
        ray.init(log_to_driver=verbose, logging_level=logging.INFO if verbose else logging.ERROR, **where)
    except Exception as error:  # Ray has no root for what keeps it from starting: time-outs, sockets, bad addresses
        place = where.get("address") or os.environ["RAY_ADDRESS"]
        what = "start Ray on this machine" if place == "local" else f"join the Ray cluster at {place}"
        raise PoolError(f"cannot {what}: {type(error).__name__}: {str(error).strip()}") from error


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT or ray://HOST:PORT, for which Ray itself waits for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def starts_here(address: str | None) -> bool:
    """Whether a run that names this cluster, or none, starts one of its own on this machine."""
    return not address and "RAY_ADDRESS" not in os.environ


def _where(config: RayConfig, cpus: int) -> dict[str, Any]:
    if not starts_here(config.address):
        return {"address": config.address} if config.address else {}
    # Ray's own second is over before the next block is to be written, and starting a process costs a second of CPU
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", IDLE_WORKER_MS)
    return {
        "address": "local",
        "num_cpus": config.num_cpus or cpus,
        "object_store_memory": config.object_store_memory,
        "include_dashboard": False,
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
