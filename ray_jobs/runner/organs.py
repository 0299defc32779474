"""Watches the two processes that a driver cannot do without: its cluster's control service and its node's raylet.

Ray itself ends a driver that has lost one of them, after up to a minute, with exit code 1 and no word of ours.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import ray

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 5.0
STANDING_SECONDS = 30.0
"""How long a standing cluster's control service may be away, as while it is started again; Ray gives it a minute."""
Address = tuple[str, int]


def organs(local: bool) -> dict[str, tuple[Address, float]]:
    """Where the two listen, and for how long each may be away; {} for Ray's client, whose driver is elsewhere."""
    node = ray._private.worker._global_node
    if node is None:
        return {}
    host, _, port = node.gcs_address.rpartition(":")
    retry_seconds = 0.0 if local else STANDING_SECONDS
    return {
        "its control service (gcs_server)": ((host.strip("[]"), int(port)), retry_seconds),
        "this node's raylet": ((node.node_ip_address, int(node.node_manager_port)), 0.0),
    }


class Watcher:
    """Notices that one of the addresses answers no longer. `answers` and the clock are parameters."""

    def __init__(
        self, addresses: Mapping[str, tuple[Address, float]], answers: Callable[[Address], bool] | None = None
    ) -> None:
        self._addresses, self._answers = addresses, answers or _answers
        self._away: dict[str, float] = {}

    def gone(self, now: float) -> str | None:
        """Which one is gone: it has not answered twice in a row, nor for its patience, by `now` (monotonic seconds)."""
        for name, (address, retry_seconds) in self._addresses.items():
            if self._answers(address):
                self._away.pop(name, None)
            elif name not in self._away:
                self._away[name] = now
            elif now - self._away[name] >= retry_seconds:
                return name
        return None


@contextmanager
def watched(addresses: Mapping[str, tuple[Address, float]], lost: Callable[[str], object]) -> Iterator[None]:
    """Call `lost` with the name of the one that is gone, from a thread, while the context lasts."""
    over, watcher = threading.Event(), Watcher(addresses)

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            if (gone := watcher.gone(time.monotonic())) and not over.is_set():
                lost(gone)
                return

    thread = threading.Thread(target=look, name="organs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _answers(address: Address) -> bool:
    with suppress(OSError):
        socket.create_connection(address, ANSWER_SECONDS).close()
        return True
    return False
