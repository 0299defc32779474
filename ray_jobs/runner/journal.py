"""Keeping the journal of replies short: while a run is at work, files go whose rows are all committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import numpy.typing as npt
from ray.exceptions import RayError

from ray_jobs.errors import JobError
from ray_jobs.output.replies import remove_done
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.storage.store import Store

SECONDS = 60.0


@contextmanager
def kept_short(
    store: Store, done: npt.NDArray[np.bool_], monitor: Monitor, may: Callable[[], None], seconds: float = SECONDS
) -> Iterator[None]:
    """Remove every `seconds` what the journal holds of rows that are `done` or committed since, if we `may`."""
    done, ended = done.copy(), threading.Event()

    def keep() -> None:
        while not ended.wait(seconds):
            # a cache: what cannot be removed now is removed at the end, or by the run that has taken over
            with suppress(JobError, RayError):
                done[monitor.committed_rows()] = True
                remove_done(store, done, may)

    thread = threading.Thread(target=keep, name="journal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
