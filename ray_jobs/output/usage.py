"""How much an output takes, by what lies in it: a listing, and no file is read."""

from __future__ import annotations

from collections import Counter

from ray_jobs.output.file_names import DATA, REJECTED, REPLIES, STAGING
from ray_jobs.storage.store import Store

NAMES = {DATA: "data", REJECTED: "rejected", STAGING: "staged", REPLIES: "journal"}
OTHER = "other"
"""Plan, entries, seals, reports, and files that are not ours."""


def usage(store: Store) -> dict[str, int]:
    """The bytes of all files by kind, those of phases and analyses in the output among them."""
    sizes = Counter[str](dict.fromkeys([*NAMES.values(), OTHER], 0))
    for path, size in store.list():
        folders = path.split("/")[:-1]
        sizes[next((NAMES[folder] for folder in folders if folder in NAMES), OTHER)] += size
    return dict(sizes)


def describe(sizes: dict[str, int]) -> str:
    """The sizes in a line for people."""
    told = ", ".join(f"{shown_bytes(size)} {name}" for name, size in sizes.items() if size)
    return f"disk     {told or 'nothing'}"


def shown_bytes(size: float) -> str:
    """So many bytes, as people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"
