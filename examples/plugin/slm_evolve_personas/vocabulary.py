"""An analysis without a model: how many different words the instructions of each evolver and round have.

Its table has a line a record, so `evolve select --by different_words` works; its section stands on the report's page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pyarrow as pa

from ray_jobs.datasets.shards import ParquetShards
from ray_jobs.datasets.source import open_source
from ray_jobs.jobs.analysis.config import AnalysisKind
from ray_jobs.jobs.analysis.local import begin_table, end_table
from ray_jobs.output.file_names import DATA
from ray_jobs.report.analysed import Analysis
from ray_jobs.report.blocks import Section, Table
from ray_jobs.report.view import View
from ray_jobs.storage.store import Store

TABLE = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("seed_id", pa.string(), nullable=False),
        pa.field("evolver", pa.string()),
        pa.field("round", pa.int32(), nullable=False),
        pa.field("different_words", pa.int32(), nullable=False),
    ]
)
KEYS = TABLE.names[:4]


class VocabularyConfig(AnalysisKind):
    """What `evolve analyse OUTPUT vocabulary` takes: words shorter than `min_letters` do not count."""

    kind: str = "vocabulary"
    min_letters: int = 1
    title: ClassVar[str] = "Vocabulary"

    def measure(self, source: Store, store: Store, say: Callable[[str], None]) -> None:
        """Write the table, batch by batch, and the summary, the mark of a finished analysis last."""
        begin_table(store)
        shards = ParquetShards(store, DATA, TABLE)
        found: dict[tuple[str, int], set[str]] = {}
        for batch in open_source(source).batches([*KEYS, "instruction"]):
            rows = [self._row(row, found) for row in batch.to_pylist()]
            shards.add(pa.RecordBatch.from_pylist(rows, TABLE))
        shards.close()
        say(f"{len(found):,} groups of records read")
        end_table(
            store,
            [
                {"evolver": name or None, "round": number, "words": len(found[name, number])}
                for name, number in sorted(found)
            ],
        )

    def _row(self, row: Mapping[str, Any], found: dict[tuple[str, int], set[str]]) -> dict[str, Any]:
        words = {word for word in re.findall(r"\w+", row["instruction"].lower()) if len(word) >= self.min_letters}
        found.setdefault((row["evolver"] or "", row["round"]), set()).update(words)
        return {**{name: row[name] for name in KEYS}, "different_words": len(words)}

    @classmethod
    def section(cls, view: View, analysis: Analysis) -> Section | None:
        """The words of each evolver, round by round."""
        rows = [
            [view.title(entry["evolver"]), str(entry["round"]), f"{entry['words']:,}"] for entry in analysis.entries
        ]
        table = Table("Different words in all instructions of a group.", ["evolver", "round", "words"], rows)
        return Section("vocabulary", cls.title, [table])
