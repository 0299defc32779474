"""An example of each frequent reason for which records were not kept: what one of them says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.output.epochs import Epoch
from ray_jobs.output.file_names import REJECTED
from ray_jobs.output.manifest import Entry
from ray_jobs.output.part_files import counted_pieces

REASONS, PARTS, CHARACTERS = 5, 20, 200
"""For how many reasons examples are looked for, in how many parts a note, and how much of each is shown."""


def reason_examples(epoch: Epoch, reasons: Sequence[str]) -> dict[str, str]:
    """What the first record of each of the first `reasons`, such as "failed: EngineDied", says; "" where none is met.

    Of a failed one that is its error, of a rejected one the text that was turned down. Raises as `Epoch.pieces`.
    """
    found = dict.fromkeys(reasons[:REASONS], "")
    missing = set(found)
    for entry in epoch.accepted.parts:
        # a part that is read tells of another reason, so that no more are read than there are reasons
        held = {(status, reason) for _, _, status, reason in entry.outcome_counts.outcomes}
        wanted = {name: pair for pair in held if (name := ": ".join(pair)) in missing}
        for records in _rejected(epoch, entry) if wanted else ():
            for name, pair in wanted.items():
                if name in missing and (record := _first(records, *pair)):
                    missing.remove(name)
                    found[name] = _shown(record)
    return found


def _rejected(epoch: Epoch, entry: Entry) -> Iterator[pa.Table]:
    for part in entry.files:
        if part.folder == REJECTED:
            yield from counted_pieces(entry, epoch.read_part(part))


def _first(records: pa.Table, status: str, reason: str) -> dict[str, object] | None:
    place = pc.index(pc.and_(pc.equal(records["status"], status), pc.equal(records["reason"], reason)), True).as_py()
    found: list[dict[str, object]] = records.slice(place, 1).to_pylist() if place >= 0 else []
    return found[0] if found else None


def score_note(epoch: Epoch) -> str:
    """What the first record that has one says of its scores; "" where none is met. Raises as `Epoch.pieces`."""
    for entry in epoch.accepted.parts[:PARTS]:
        for _, records in epoch.pieces(entry):
            if "score_note" in records.column_names:
                notes = records["score_note"].drop_null()
                if len(notes):
                    return str(notes[0].as_py())
    return ""


def _shown(record: dict[str, object]) -> str:
    text = record.get("error") or (record.get("output") if record.get("stage") == "respond" else "")
    line = " ".join(str(text or record.get("instruction") or "").split())
    return line if len(line) <= CHARACTERS else f"{line[:CHARACTERS]}..."
