"""What C code and processes beside us write on standard error, apart from what we write there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def native_errors_in(file: int) -> Iterator[None]:
    """Have the standard error of C code and of children written to a file, while Python's goes where it went."""
    with os.fdopen(os.dup(STDERR), "w", buffering=1, errors="backslashreplace") as terminal:
        before = sys.stderr
        if _is_native():
            before.flush()
            # signals are answered through it too, however long the context lasts
            sys.stderr = terminal
        os.dup2(file, STDERR)
        try:
            yield
        finally:
            os.dup2(terminal.fileno(), STDERR)
            sys.stderr = before


def _is_native() -> bool:
    """Whether Python writes to the same place: a notebook and a test have places of their own."""
    try:
        return sys.stderr.fileno() == STDERR
    except (AttributeError, OSError, ValueError):  # there is none, or it is no file or closed
        return False
