"""An example of each frequent reason for which records were not kept: what one of them says of itself."""

from __future__ import annotations

from collections.abc import Sequence

from ray_jobs.output.epochs import Epoch
from ray_jobs.output.file_names import REJECTED

REASONS, PARTS, CHARACTERS = 5, 20, 200
"""For how many reasons examples are looked for, in how many parts, and how much of each is shown."""


def reason_examples(epoch: Epoch, reasons: Sequence[str]) -> dict[str, str]:
    """What the first record of each of the first `reasons`, such as "failed: EngineDied", says; "" where none is met.

    Of a failed one that is its error, of a rejected one the text that was turned down. Raises as `Epoch.pieces`.
    """
    found = dict.fromkeys(reasons[:REASONS], "")
    missing = set(found)
    for entry in epoch.accepted.parts[:PARTS]:
        if not missing:
            break
        for folder, records in epoch.pieces(entry):
            if folder == REJECTED:
                for record in records.to_pylist():
                    name = f"{record['status']}: {record['reason']}"
                    if name in missing:
                        missing.remove(name)
                        found[name] = _shown(record)
    return found


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
