"""An actor's share of the journal: what is known of a block's rows, and what its engine answers from then on.

Replies are written a block at a time, by a thread, every few seconds and whenever many are waiting: a kill costs those
that were not written yet. Without a store that takes them the run goes on, and a kill costs more.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evolve.records import Completion
from evolve.replies import Reply, RowReplies
from ray_jobs.config.run import LimitsConfig, OpenAIConfig
from ray_jobs.errors import MissingFile, StorageError
from ray_jobs.output.file_names import Tag
from ray_jobs.output.replies import read_replies, reply_files, write_replies
from ray_jobs.storage.store import Store

MANY_CHARACTERS = 8 << 20
"""So many characters of completions are written at once, however short the time."""
PAID_SECONDS, OWN_SECONDS = 2.0, 30.0

log = logging.getLogger(__name__)


def interval(limits: LimitsConfig, model: Any) -> float | None:
    """Every how many seconds replies of a model are written, None for never, where the configuration leaves it to us.

    A server is perhaps paid by the token: two seconds. An engine of our own is paid by the hour, whose price is a
    hundred times that of what a store takes for a write in every half minute for each block in flight.
    """
    if limits.journal == "auto":
        return PAID_SECONDS if isinstance(model, OpenAIConfig) else OWN_SECONDS
    return None if limits.journal == "off" else limits.journal


@dataclass(frozen=True)
class JournalPlace:
    """Where the replies of a run's stage are kept, and every how many seconds new ones are written."""

    store: Store
    tag: Tag
    run_id: str
    stage: str
    seconds: float


class Journal:
    """The replies of all blocks that an actor has worked on."""

    def __init__(self, place: JournalPlace) -> None:
        self._place = place
        self._waiting: defaultdict[int, list[Reply]] = defaultdict(list)
        self._blocks, self._characters = 0, 0
        self._lock, self._writing, self._wake = threading.Lock(), threading.Lock(), threading.Event()
        threading.Thread(target=self._keep, name="journal", daemon=True).start()

    def begin(self, rows: Sequence[int]) -> BlockReplies:
        """Look up what is known of a block's rows, which go by their number in the plan."""
        known = self._known(set(rows)) if rows else {}
        with self._lock:
            self._blocks += 1
            block = self._blocks
        return BlockReplies(known, lambda reply: self._note(block, reply))

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, defaultdict(list)
                self._characters = 0
            for replies in waiting.values():
                self._write(replies)

    def _known(self, rows: set[int]) -> dict[int, list[Reply]]:
        known: defaultdict[int, list[Reply]] = defaultdict(list)
        store, wanted = self._place.store, np.array(sorted(rows), dtype=np.int64)
        try:
            for file in reply_files(store, self._place.stage):
                if file.holds_any(wanted):
                    for reply in self._read(file.path):
                        if reply.row in rows:
                            known[reply.row].append(reply)
        except StorageError as error:
            log.warning("replies are asked anew: %s", error)
        return known

    def _read(self, path: str) -> list[Reply]:
        try:
            return read_replies(self._place.store, path, self._place.run_id)
        except MissingFile:
            return []
        except ValueError as error:
            log.warning("%s is passed over: it %s", self._place.store.url_of(path), error)
            return []

    def _note(self, block: int, reply: Reply) -> None:
        with self._lock:
            self._waiting[block].append(reply)
            self._characters += len(reply.completion.text) if reply.completion else 0
            many = self._characters > MANY_CHARACTERS
        if many:
            self._wake.set()

    def _write(self, replies: Sequence[Reply]) -> None:
        place = self._place
        try:
            write_replies(place.store, place.tag, place.stage, place.run_id, replies)
        except StorageError as error:
            log.warning("%d replies are not kept: %s", len(replies), error)

    def _keep(self) -> None:
        while True:
            self._wake.wait(self._place.seconds)
            self._wake.clear()
            self.flush()


@dataclass(frozen=True)
class BlockReplies:
    """The replies of one block."""

    known: dict[int, list[Reply]]
    keep: Callable[[Reply], None]

    def row(self, row: int, given: Callable[[Completion], None]) -> RowReplies:
        """Those of one row. `given` is told of each completion that is given again."""
        return RowReplies(row, self.known.get(row, ()), self.keep, given)
