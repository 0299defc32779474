"""What a page keeps of the selections that it shows beside each other, random draws among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray_jobs.datasets.source import SELECTION, open_source
from ray_jobs.errors import OutputError
from ray_jobs.output.run_files import read_json
from ray_jobs.report.histogram import Histogram
from ray_jobs.report.inputs import batches
from ray_jobs.report.measures import RECORD_MEASURES
from ray_jobs.storage.store import Store


@dataclass(frozen=True)
class Selected:
    """A selection: what a user calls it, its rule as in selection.json, its records, each measure's distribution."""

    place: str
    rule: Mapping[str, Any]
    records: int
    measures: Mapping[str, Histogram]

    @property
    def words(self) -> str:
        """The rule for people."""
        rule = self.rule
        each = f" of each {', '.join(rule['per'])}" if rule["per"] else ""
        if "seed" in rule:
            return f"{rule['top']} at random{each}, seed {rule['seed']}"
        if rule["range"]:
            low, high = ("" if bound is None else f"{bound:g}" for bound in rule["range"])
            return f"{rule['by']} in {low}:{high}"
        return f"{rule['order']} {rule['top']} by {rule['by']}{each}"


def read_selection(place: str, store: Store, say: Callable[[str], None]) -> Selected:
    """Read the records of a selection once. Raises OutputError where there is none."""
    if not store.exists(SELECTION):
        raise OutputError(f"{store.url}: expected what `evolve select` writes, found no {SELECTION}")
    source = open_source(store)
    records = int(source.origin["records"])
    say(f"reading {records:,} records of {place}")
    measures = {record_measure.name: Histogram(record_measure.scale) for record_measure in RECORD_MEASURES}
    needs = dict.fromkeys(name for record_measure in RECORD_MEASURES for name in record_measure.needs)
    for batch in batches(source, list(needs)):
        for record_measure in RECORD_MEASURES:
            measures[record_measure.name].add(record_measure.values(batch))
    return Selected(place, read_json(store, SELECTION)["rule"], records, measures)
