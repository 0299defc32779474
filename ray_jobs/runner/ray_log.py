"""Where Ray's own messages go: into its log, and not among ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import ray._private.worker

from ray_jobs.runner.native_errors import STDERR, native_errors_in

FILE = "evolve-driver.log"
_worker: Any = ray._private.worker


def log_folder() -> Path | None:
    """The folder of this node's logs of Ray; None where this process has no node, as Ray's client has not."""
    node = _worker._global_node
    return Path(node.get_logs_dir_path()) if node else None


@contextmanager
def kept_apart(verbose: bool) -> Iterator[None]:
    """Write what Ray prints of tasks and actors that failed into FILE in its log folder, unless it is to be shown.

    Ray prints whole tracebacks of what it tries again, in the middle of our display.
    """
    before = _worker.print_to_stdstream
    if not verbose:
        _worker.print_to_stdstream = _keep
    try:
        yield
    finally:
        _worker.print_to_stdstream = before


@contextmanager
def connecting_apart(verbose: bool) -> Iterator[None]:
    """Connect to Ray in this context: what C code writes to standard error meanwhile goes into FILE too.

    Ray's clients and core worker say things before they know where to log, and at which level. Python's own messages go
    where they went; where no folder of logs comes of it, so does the rest in the end.
    """
    if verbose:
        yield
        return
    with tempfile.TemporaryFile() as held:
        try:
            with native_errors_in(held.fileno()):
                yield
        finally:
            held.seek(0)
            _append(held.read())


def _append(said: bytes) -> None:
    folder = log_folder()
    try:
        with (folder / FILE).open("ab") if folder else open(STDERR, "wb", closefd=False) as file:
            file.write(said)
    except OSError:
        os.write(STDERR, said)


def _keep(data: Mapping[str, Any], ignore_prefix: bool) -> None:  # noqa: ARG001 (Ray's own signature)
    folder = log_folder()
    # a log that cannot be written must not end the thread that reads Ray's messages
    with suppress(OSError):
        if folder:
            with (folder / FILE).open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in data["lines"])


def with_log_folder(message: str) -> str:
    """`message` with the place of Ray's log, where that is on this machine."""
    folder = log_folder()
    return f"{message}; Ray's log: {folder}" if folder else message
