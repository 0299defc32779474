"""What libraries and their processes print on standard error, kept apart from what is said to people."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ray_jobs.runner.native_errors import STDERR, native_errors_in

SHOWN_BYTES = 4000


@contextmanager
def stderr_apart(verbose: bool) -> Iterator[None]:
    """Keep what this process's libraries and children write on standard error, and show its end where this raises.

    Our own lines, through `sys.stderr`, are shown as before; with `verbose` everything is.
    """
    if verbose:
        yield
        return
    with tempfile.TemporaryFile() as kept:
        try:
            with native_errors_in(kept.fileno()):
                yield
        except Exception:  # whatever ended it, what was said before may tell why
            kept.seek(max(0, kept.seek(0, os.SEEK_END) - SHOWN_BYTES))
            os.write(STDERR, kept.read())
            raise
