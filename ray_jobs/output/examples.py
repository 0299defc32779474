"""An example of each frequent reason for which records were not kept: what one of them says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from ray_jobs.output.file_names import REJECTED
from ray_jobs.output.manifest import Entry
from ray_jobs.output.part_files import pieces
from ray_jobs.storage.store import Store

REASONS, PARTS, CHARACTERS = 5, 20, 200
"""For how many reasons examples are looked for, in how many parts, and how much of each is shown."""


def reason_examples(store: Store, parts: Sequence[Entry], reasons: Sequence[str]) -> dict[str, str]:
    """What the first record of each of the first `reasons`, such as "failed: EngineDied", says; "" where none is met.

    Of a failed one that is its error, of a rejected one the text that was turned down.
    """
    found = dict.fromkeys(reasons[:REASONS], "")
    missing = set(found)
    for entry in parts[:PARTS]:
        if not missing:
            break
        for folder, records in pieces(store, entry):
            if folder == REJECTED:
                for record in records.to_pylist():
                    name = f"{record['status']}: {record['reason']}"
                    if name in missing:
                        missing.remove(name)
                        found[name] = _shown(record)
    return found


def score_note(store: Store, parts: Sequence[Entry]) -> str:
    """What the first record that has one says of its scores; "" where none is met."""
    for entry in parts[:PARTS]:
        for _, records in pieces(store, entry):
            if "score_note" in records.column_names:
                notes = records["score_note"].drop_null()
                if len(notes):
                    return str(notes[0].as_py())
    return ""


def _shown(record: dict[str, object]) -> str:
    text = record.get("error") or (record.get("output") if record.get("stage") == "respond" else "")
    line = " ".join(str(text or record.get("instruction") or "").split())
    return line if len(line) <= CHARACTERS else f"{line[:CHARACTERS]}..."
