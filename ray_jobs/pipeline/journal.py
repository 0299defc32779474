"""An actor's share of the journal: what is known of a block's rows, and what its engine answers from then on.

Replies are written a block at a time, by a thread, every few seconds and whenever many are waiting: a kill costs those
that were not written yet. Without a store that takes them the run goes on, and a kill costs more.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from evolve.records import Completion
from evolve.replies import Reply, RowReplies
from ray_jobs.config.engine_kinds import is_server
from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import MissingFile, StorageError
from ray_jobs.output.file_names import Tag
from ray_jobs.output.replies import (
    Death,
    EncodedReply,
    encode_reply,
    read_death,
    read_replies,
    reply_files,
    write_death,
    write_replies,
)
from ray_jobs.storage.store import Store

MANY_BYTES = 8 << 20
"""So many bytes of replies are written at once, however short the time."""
PAID_SECONDS, OWN_SECONDS = 0.5, 30.0

Found = TypeVar("Found")
log = logging.getLogger(__name__)


def interval(limits: LimitsConfig, model: Any) -> float | None:
    """Every how many seconds replies of a model are written, None for never, where the configuration leaves it to us.

    A server is perhaps paid by the token: half a second, in which a store's writes for the blocks in flight cost a
    thousandth of a few hundred replies. An engine of our own is paid by the hour, whose price is a
    hundred times that of what a store takes for a write in every half minute for each block in flight.
    """
    if limits.journal == "auto":
        return PAID_SECONDS if is_server(model) else OWN_SECONDS
    return None if limits.journal == "off" else limits.journal


@dataclass(frozen=True)
class JournalPlace:
    """Where the replies of a run's stage are kept, and every how many seconds new ones are written."""

    store: Store
    tag: Tag
    run_id: str
    stage: str
    seconds: float


@dataclass(frozen=True)
class Suspect:
    """A row that was under way when engines died: among how many rows each time, and last words."""

    among: tuple[int, ...]
    words: str

    @property
    def is_proven(self) -> bool:
        """Whether it has ended engines by itself. Once alone is not enough: any engine may die once."""
        alone = self.among.count(1)
        return alone > 1 or (alone == 1 and len(self.among) > 2)

    @property
    def group(self) -> int | None:
        """With how many rows, itself included, it may be under way: with half of those it was; 0: not at all.

        None: with any number, as long as no second engine has died.
        """
        if len(self.among) < 2:
            return None
        return 0 if self.is_proven else max(1, min(self.among) // 2)


class Journal:
    """The replies of all blocks that an actor has worked on."""

    def __init__(self, place: JournalPlace) -> None:
        self._place = place
        # as they are written: thousands of values in memory would cost every pass of the garbage collector
        self._waiting: defaultdict[int, list[EncodedReply]] = defaultdict(list)
        self._blocks, self._bytes = 0, 0
        self._lock, self._writing, self._wake = threading.Lock(), threading.Lock(), threading.Event()
        threading.Thread(target=self._keep, name="journal", daemon=True).start()

    def begin(self, rows: Sequence[int]) -> BlockReplies:
        """Look up what is known of a block's rows, which go by their number in the plan."""
        known, suspects = self._known(set(rows)) if rows else ({}, {})
        with self._lock:
            self._blocks += 1
            block = self._blocks
        return BlockReplies(known, suspects, lambda reply: self._note(block, reply))

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, defaultdict(list)
                self._bytes = 0
            for replies in waiting.values():
                self._write(replies)

    def died(self, rows: Sequence[int], words: str) -> None:
        """Note that the engine died with these rows under way, after writing what waits."""
        self.flush()
        place = self._place
        if rows:
            try:
                write_death(place.store, place.tag, place.stage, Death(place.run_id, [*rows], words))
            except StorageError as error:
                log.warning("the rows that were under way are not noted: %s", error)

    def _known(self, rows: set[int]) -> tuple[dict[int, list[Reply]], dict[int, Suspect]]:
        known: defaultdict[int, list[Reply]] = defaultdict(list)
        suspects: dict[int, Suspect] = {}
        place, wanted = self._place, np.array(sorted(rows), dtype=np.int64)
        try:
            for file in reply_files(place.store, place.stage):
                if not file.holds_any(wanted):
                    continue
                if file.death:
                    for death in self._read(read_death, file.path):
                        suspects |= _suspected(death, rows, suspects)
                    continue
                for reply in (reply for found in self._read(read_replies, file.path) for reply in found):
                    if reply.row in rows:
                        known[reply.row].append(reply)
        except StorageError as error:
            log.warning("replies are asked anew: %s", error)
        return known, suspects

    def _read(self, read: Callable[[Store, str, str], Found], path: str) -> list[Found]:
        try:
            return [read(self._place.store, path, self._place.run_id)]
        except MissingFile:
            return []
        except ValueError as error:
            log.warning("%s is passed over: it %s", self._place.store.url_of(path), error)
            return []

    def _note(self, block: int, reply: Reply) -> None:
        encoded = encode_reply(reply)
        if encoded is None:
            return
        with self._lock:
            self._waiting[block].append(encoded)
            self._bytes += len(encoded.line)
            many = self._bytes > MANY_BYTES
        if many:
            self._wake.set()

    def _write(self, replies: Sequence[EncodedReply]) -> None:
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


def _suspected(death: Death, rows: set[int], before: Mapping[int, Suspect]) -> dict[int, Suspect]:
    among = (len(death.rows),)
    return {
        row: Suspect((before[row].among if row in before else ()) + among, death.words)
        for row in rows.intersection(death.rows)
    }


@dataclass(frozen=True)
class BlockReplies:
    """The replies of one block, and which of its rows may have ended engines."""

    known: dict[int, list[Reply]]
    suspects: dict[int, Suspect]
    keep: Callable[[Reply], None]

    def row(self, row: int, given: Callable[[Completion], None]) -> RowReplies:
        """Those of one row. `given` is told of each completion that is given again."""
        suspect = self.suspects.get(row)
        kills = suspect.words if suspect and suspect.is_proven else None
        return RowReplies(row, self.known.get(row, ()), self.keep, given, kills)

    def group(self, row: int) -> int | None:
        """With how many rows a row may be under way; see Suspect."""
        suspect = self.suspects.get(row)
        return suspect.group if suspect else None
