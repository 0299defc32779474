"""Where Ray's own messages go: into its log, and not among ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import ray._private.worker
import ray._raylet

FILE = "evolve-driver.log"
_LOGS_ARGUMENT = 5
"""Which of the core worker's arguments is the folder of its logs."""
_worker: Any = ray._private.worker
_raylet: Any = ray._raylet


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
    """Connect to Ray in this context: what its core worker writes to standard error as it starts goes into FILE too.

    It says which level of its log the environment asks for before it knows where its log is.
    """
    before = _raylet.CoreWorker

    def quiet(*given: Any) -> Any:
        with native_errors_in(Path(given[_LOGS_ARGUMENT]) / FILE):
            return before(*given)

    if not verbose:
        _raylet.CoreWorker = quiet
    try:
        yield
    finally:
        _raylet.CoreWorker = before


@contextmanager
def native_errors_in(path: Path) -> Iterator[None]:
    """Append what C code writes to standard error to `path`; Python's own goes where it went.

    Where `path` cannot be written, nothing changes.
    """
    try:
        file = path.open("ab")
    except OSError:
        yield
        return
    with file, os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace") as terminal:
        before = sys.stderr
        before.flush()
        # signals are answered through it too, however long the core worker takes
        sys.stderr = terminal
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal.fileno(), 2)
            sys.stderr = before


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
