"""What a store can really do, found by trying: what it promises, and what stands before it, may be wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ray_jobs.errors import StorageError, StoreAway

if TYPE_CHECKING:
    from ray_jobs.storage.store import Store


@dataclass(frozen=True)
class Capabilities:
    """`conditional_create`: a name is never created twice. `publish`: a file is published only while its source exists.

    `reason` says in a sentence what was seen where one of them is False; empty where both hold.
    """

    conditional_create: bool
    publish: bool
    reason: str


def probe(store: Store, folder: str) -> Capabilities:
    """Try with new names in `folder` of `store`, and remove them. Raises StorageError where nothing can be written."""
    names = [f"{folder}/{kind}-{uuid.uuid4().hex}".lstrip("/") for kind in ("source", "create", "target", "nothing")]
    source, created, target, nothing = names
    try:
        store.write_bytes(source, b"source")
        creation = _tried(lambda: _creates_once(store, created))
        publishing = _tried(lambda: _publishes_what_exists(store, source, target, nothing))
    finally:
        store.delete(names)
    return Capabilities(not creation, not publishing, "; ".join(filter(None, (creation, publishing))))


def _tried(attempt: Callable[[], str]) -> str:
    """What is wrong, by the attempt or by the store's refusal. A store that is away has not refused."""
    try:
        return attempt()
    except StoreAway:
        raise
    except StorageError as refused:
        return str(refused)


def _creates_once(store: Store, name: str) -> str:
    first, second = store.create_exclusive(name, b"first"), store.create_exclusive(name, b"second")
    if first and not second and store.read_bytes(name) == b"first":
        return ""
    return "the store created one name twice: it passes over conditional writes (If-None-Match)"


def _publishes_what_exists(store: Store, source: str, target: str, nothing: str) -> str:
    if not store.publish(source, target) or store.read_bytes(target) != b"source":
        return "the store did not publish a file that exists"
    if store.publish(nothing, target) or store.read_bytes(target) != b"source":
        return "the store published a file that does not exist"
    return ""
