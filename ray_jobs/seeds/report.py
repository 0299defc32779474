"""What became of the rows and files of a seed source, for plans, status and reports to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Noted:
    """How often something was met, and where first: a file, or a file and its row."""

    count: int
    first: str


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What became of the rows: read = seeds + duplicates + the sum of `bad`, which counts by reason.

    A duplicate has the id of an earlier row, good or bad. The next two count what the kept seeds' conversations
    lost: their system turns, and the turns after the first answer. `notes` counts kept seeds by what deserves a second
    look: `control_tokens` of chat templates in the text, `media_placeholder` and `media_column` of pictures or sound
    that are not there, `input_as_json`, `output_not_text` that was left out, `unknown_role`. `skipped_files` has the
    files (and hidden or circular folders) that a folder or glob passes over, by reason; `unused_columns` is the fields
    of the files' first rows that nothing reads.
    """

    read: int = 0
    seeds: int = 0
    duplicates: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    system_turns_dropped: int = 0
    later_turns_dropped: int = 0
    notes: Mapping[str, Noted] = field(default_factory=dict)
    skipped_files: Mapping[str, Noted] = field(default_factory=dict)
    unused_columns: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What was passed over or deserves a second look, a sentence each."""
        files = [
            f"{seen.count:,} passed over as {_words(why)}: {seen.first}" for why, seen in self.skipped_files.items()
        ]
        rows = [f"{count:,} rows are no seeds: {_words(reason)}" for reason, count in self.bad.items()]
        notes = [f"{seen.count:,} seeds noted for {_words(name)}: {seen.first}" for name, seen in self.notes.items()]
        counts = {
            "duplicates": self.duplicates,
            "system turns": self.system_turns_dropped,
            "turns after the first answer": self.later_turns_dropped,
        }
        left_out = [f"{count:,} {what} left out" for what, count in counts.items() if count]
        unused = [f"columns that nothing reads: {', '.join(self.unused_columns)}"] if self.unused_columns else []
        return [*files, *rows, *notes, *left_out, *unused]


def noted(before: Mapping[str, Noted], found: Iterable[tuple[str, str]]) -> dict[str, Noted]:
    """`before` and what was `found` since, as pairs of name and place."""
    pairs = list(found)
    counts, firsts = Counter(name for name, _ in pairs), dict(reversed(pairs))
    names = dict.fromkeys([*before, *counts])
    return {
        name: Noted(before[name].count + counts[name], before[name].first)
        if name in before
        else Noted(counts[name], firsts[name])
        for name in names
    }


def _words(name: str) -> str:
    return name.replace("_", " ")
