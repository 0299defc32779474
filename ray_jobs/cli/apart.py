"""What libraries and their processes print on standard error, kept apart from what is said to people."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import UnsupportedOperation

STDERR = 2
SHOWN_BYTES = 4000


@contextmanager
def stderr_apart(verbose: bool) -> Iterator[None]:
    """Keep what this process's libraries and children write on standard error, and show its end where this raises.

    Our own lines, through `sys.stderr`, are shown as before; with `verbose` everything is.
    """
    if verbose or not _is_real():
        yield
        return
    ours, before = os.fdopen(os.dup(STDERR), "w", buffering=1), sys.stderr
    with ours, tempfile.TemporaryFile() as kept:
        before.flush()
        os.dup2(kept.fileno(), STDERR)
        sys.stderr = ours
        try:
            yield
        except Exception:
            kept.seek(max(0, kept.seek(0, os.SEEK_END) - SHOWN_BYTES))
            ours.write(kept.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr = before
            os.dup2(ours.fileno(), STDERR)


def _is_real() -> bool:
    try:
        return sys.stderr.fileno() == STDERR
    except (AttributeError, UnsupportedOperation):
        return False
