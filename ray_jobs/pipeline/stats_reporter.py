"""A worker's side of the monitor: what it has done, why it ends, and what its engine has to say."""

from __future__ import annotations

import gc
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import ray
from ray.exceptions import RayError

from ray_jobs.config.pools import Share
from ray_jobs.errors import EngineRefuses
from ray_jobs.pipeline.monitor import REPORT_SECONDS, Monitor, WorkerStats, one_line


class _Told(logging.Handler):
    """Takes what engines log to be told."""

    def __init__(self, stats: WorkerStats) -> None:
        super().__init__()
        self._stats = stats

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "tell", False):
            # a new one, for the old one may just be on its way
            self._stats.told = {**self._stats.told, record.getMessage(): None}


class StatsReporter:
    """A worker's stats, which a thread sends to the monitor once a second. `stopped` is the monitor's latest answer."""

    def __init__(self, monitor: Monitor, pool: str, share: Share) -> None:
        self.stats = WorkerStats()
        self.stopped = False
        self._monitor, self._pool, self._worker = monitor, pool, uuid.uuid4().hex
        self._started, self._share = time.monotonic(), share
        logging.getLogger("evolve").addHandler(_Told(self.stats))
        self._thread = threading.Thread(target=self._keep, name="stats", daemon=True)
        self._thread.start()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """The block loads the model: tell the monitor why it failed, or that the worker is ready.

        Libraries and model stay as long as the worker: from here on the garbage collector leaves them out. Otherwise
        each of its full passes, which every few hundred rows bring about, would walk all of them again.
        """
        try:
            yield
        except Exception as error:  # is raised on, once it is told
            cause = f"its model cannot be loaded: {one_line(error)}"
            refused = " ".join(str(error).split()) if isinstance(error, EngineRefuses) else ""
            with suppress(RayError):
                told = self._monitor.actor.not_loaded.remote(self._pool, cause, refused)
                ray.get(told, timeout=5 * REPORT_SECONDS)
            raise
        gc.collect()
        gc.freeze()
        self.stats.ready = True

    def ended(self, cause: str) -> None:
        """Tell the monitor why this worker ends."""
        # the cause helps whoever reads it; the worker ends all the same
        with suppress(RayError):
            ray.get(self._monitor.actor.ended.remote(self._pool, cause), timeout=5 * REPORT_SECONDS)

    @contextmanager
    def rows(self, count: int) -> Iterator[WorkerStats]:
        """Count `count` rows as in flight while the block runs, and as done after it."""
        if self.stats.first_began is None:
            self.stats.first_began = time.monotonic()
        self.stats.began += count
        yield self.stats
        self.stats.done += count
        self.stats.last_done = time.monotonic()

    def row(self) -> AbstractContextManager[WorkerStats]:
        """Count one row, as `rows` does."""
        return self.rows(1)

    def report(self) -> None:
        """Send the figures now and hear whether to stop. Actors do so after a block, for it may be their last."""
        seconds, share = time.monotonic() - self._started, self._share
        self.stats.held_seconds = seconds
        self.stats.gpu_seconds, self.stats.price_seconds = seconds * share.gpus, seconds * share.price
        # without the monitor the display misses this worker for a moment; its work goes on
        with suppress(RayError):
            self.stopped = ray.get(self._monitor.actor.report.remote(self._pool, self._worker, self.stats))

    def _keep(self) -> None:
        # a call without a Ray would start one, so the thread ends with the Ray it reports to
        while ray.is_initialized():
            try:
                self.report()
            except Exception:  # no class of its own: this process has another Ray by now, without the monitor
                return
            time.sleep(REPORT_SECONDS)
