"""What vLLM's processes say when a model cannot be loaded: the engine's own exception only points at their output."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_BYTES = 2**20
_POINTS_ELSEWHERE = "root cause"
_RAISED = re.compile(r"^(?:.*?\] )?(?P<raised>[\w.]*(?:Error|Exception)\b: .+)$", re.MULTILINE)
"""The last line of a traceback, behind what a log puts before it."""


@contextmanager
def told_why() -> Iterator[None]:
    """The block starts an engine: what it raises says what its processes wrote, where that went into files.

    So it does in a Ray worker, whose output its processes inherit. Raises RuntimeError in the place of another one.
    """
    before = {place: os.fstat(place).st_size for place in (1, 2) if _is_file(place)}
    try:
        yield
    except RuntimeError as error:
        if _POINTS_ELSEWHERE not in str(error):
            raise
        said = "".join(_written(place, begun) for place, begun in before.items())
        if (cause := root_cause(said)) is None:
            raise
        raise RuntimeError(cause) from error


def root_cause(said: str) -> str | None:
    """The first exception in what processes wrote that is more than a hint at another; None where there is none."""
    raised = (found["raised"] for found in _RAISED.finditer(said))
    return next((line for line in raised if _POINTS_ELSEWHERE not in line), None)


def _is_file(place: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(place).st_mode)
    except OSError:  # closed
        return False


def _written(place: int, begun: int) -> str:
    try:
        with Path(f"/proc/self/fd/{place}").open("rb") as file:
            file.seek(begun)
            return file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
