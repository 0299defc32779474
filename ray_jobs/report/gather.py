"""Reads all records of an output once and keeps what the page shows of them: counts, histograms, sums by seed.

Memory is that of one batch of records, of some histograms for each evolver and round, and of the sums by seed, which
are bounded too (`seeds.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.datasets.outcomes import split
from ray_jobs.datasets.score_columns import summed_counts
from ray_jobs.output.counts import FINISH
from ray_jobs.output.schema import KEPT
from ray_jobs.report.examples import SHOWN, SameSeeds, Tail
from ray_jobs.report.histogram import Floats, Histogram
from ray_jobs.report.inputs import NOBODY, Inputs, batches
from ray_jobs.report.measures import IC_IFD, MEASURES, POSITION_SCALE, POSITIONS, RECORD_MEASURES
from ray_jobs.report.seeds import SeedSums, make_sums
from ray_jobs.report.several import SHOWN as OF_CHOICES
from ray_jobs.report.several import Choices

Say = Callable[[str], None]
_COUNTED = ("evolver", "round", "operator", "seed_index", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Ending:
    """How records end: kept (with stage and reason empty), or rejected or failed at a stage for a reason."""

    status: str
    stage: str = ""
    reason: str = ""


@dataclass
class Gathered:
    """What the records of an output amount to. Keys name evolver and round as the data do, evolver "" for nobody.

    `positions` are the top-1 probabilities of the positions of replies, by the column of their counts.

    `endings` counts records; `tokens` are prompt and completion tokens of kept and of all records; `operators`
    counts (evolver, operator, status) and `operator_scores` have IC-IFD by evolver and operator. `finished` counts
    kept records by how their response ended, where that is known.
    """

    sums: SeedSums | None
    histograms: dict[tuple[str, str, int], Histogram] = field(default_factory=dict)
    positions: dict[tuple[str, str, int], Histogram] = field(default_factory=dict)
    endings: Counter[tuple[str, int, Ending]] = field(default_factory=Counter)
    tokens: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    operators: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    operator_scores: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    finished: Counter[tuple[str, str]] = field(default_factory=Counter)
    lowest: defaultdict[str, Tail] = field(default_factory=lambda: defaultdict(lambda: Tail(highest=False)))
    highest: defaultdict[str, Tail] = field(default_factory=lambda: defaultdict(lambda: Tail(highest=True)))
    same_seeds: SameSeeds = field(default_factory=SameSeeds)
    choices: Choices = field(default_factory=Choices)

    def kept(self, evolver: str | None = None, number: int | None = None) -> int:
        """Kept records, of an evolver and a round where they are given."""
        return sum(
            count
            for (name, place, ending), count in self.endings.items()
            if ending.status == KEPT and evolver in (None, name) and number in (None, place)
        )

    def ended(self, evolver: str | None = None, number: int | None = None) -> int:
        """Records with any outcome, as in `kept`."""
        return sum(
            count
            for (name, place, _), count in self.endings.items()
            if evolver in (None, name) and number in (None, place)
        )

    def histogram(self, measure: str, evolver: str, number: int | None = None) -> Histogram:
        """The distribution of a measure over kept records of an evolver, in a round or in all."""
        whole = Histogram(MEASURES[measure].scale)
        for (name, of, place), histogram in self.histograms.items():
            if (name, of) == (measure, evolver) and number in (None, place):
                whole.merge(histogram)
        return whole


def gather(inputs: Inputs, say: Say) -> Gathered:
    """Read everything. Raises DamagedOutput and StorageError."""
    sums = make_sums(inputs.plan.seeds, inputs.evolvers, inputs.rounds, list(MEASURES)) if inputs.plan else None
    gathered = Gathered(sums)
    if not inputs.finished:
        say(f"{inputs.store.url}: the run is not finished; this is what is committed of it so far")
    if inputs.kept:
        say(f"reading {inputs.kept.origin['records']:,} kept records")
        measured = (name for record_measure in RECORD_MEASURES for name in record_measure.needs)
        needs = dict.fromkeys([*_COUNTED, FINISH, *SHOWN, *POSITIONS, *OF_CHOICES, *measured])
        for batch in batches(inputs.kept, list(needs)):
            _add_kept(gathered, batch)
    if inputs.rejected:
        say(f"reading {inputs.rejected.origin['records']:,} rejected and failed records")
        for batch in batches(inputs.rejected, [*_COUNTED, "status", "stage", "reason"]):
            _add_turned_down(gathered, batch)
    return gathered


def _add_kept(gathered: Gathered, batch: pa.RecordBatch) -> None:
    values = {record_measure.name: record_measure.values(batch) for record_measure in RECORD_MEASURES}
    for (evolver, number), places in split(batch, ("evolver", "round")):
        key = (str(evolver or NOBODY), int(number or 0))
        gathered.endings[(*key, Ending(KEPT))] += len(places)
        for record_measure in RECORD_MEASURES:
            histogram = gathered.histograms.setdefault((record_measure.name, *key), Histogram(record_measure.scale))
            histogram.add(values[record_measure.name][places])
        for name in POSITIONS:
            histogram = gathered.positions.setdefault((name, *key), Histogram(POSITION_SCALE))
            histogram.add_counts(summed_counts(batch.column(name).take(pa.array(places))))
    for (evolver,), places in split(batch, ("evolver",)):
        name = str(evolver or NOBODY)
        counted = pc.value_counts(batch.column(FINISH).take(pa.array(places)).drop_null())
        gathered.finished.update({(name, item["values"]): item["counts"] for item in counted.to_pylist()})
        _add_tails(gathered, name, batch.take(pa.array(places)), values[IC_IFD][places])
    _add_operators(gathered, batch, pa.array([KEPT] * batch.num_rows), values[IC_IFD])
    _add_tokens(gathered, batch, kept=True)
    gathered.choices.add(batch)
    if gathered.sums:
        gathered.sums.add(batch, True, values)
        gathered.same_seeds.add(batch, gathered.sums.sample.slots(batch.column("seed_index")))


def _add_tails(gathered: Gathered, evolver: str, batch: pa.RecordBatch, scores: Floats) -> None:
    gathered.lowest[evolver] = gathered.lowest[evolver].with_batch(batch, scores)
    gathered.highest[evolver] = gathered.highest[evolver].with_batch(batch, scores)


def _add_turned_down(gathered: Gathered, batch: pa.RecordBatch) -> None:
    for key, places in split(batch, ("evolver", "round", "status", "stage", "reason")):
        evolver, number, status, stage, reason = key
        ending = Ending(str(status), str(stage), str(reason))
        gathered.endings[str(evolver or NOBODY), int(number or 0), ending] += len(places)
    _add_operators(gathered, batch, batch.column("status"), np.full(batch.num_rows, np.nan))
    _add_tokens(gathered, batch, kept=False)
    if gathered.sums:
        gathered.sums.add(batch, False, {})


def _add_operators(gathered: Gathered, batch: pa.RecordBatch, statuses: pa.Array, scores: Floats) -> None:
    named = pa.RecordBatch.from_pydict(
        {"evolver": batch.column("evolver"), "operator": batch.column("operator"), "status": statuses}
    )
    for (evolver, operator, status), places in split(named, named.schema.names):
        if operator is not None:
            key = (str(evolver or NOBODY), str(operator))
            gathered.operators[(*key, str(status))] += len(places)
            if status == KEPT:
                scale = MEASURES[IC_IFD].scale
                gathered.operator_scores.setdefault(key, Histogram(scale)).add(scores[places])


def _add_tokens(gathered: Gathered, batch: pa.RecordBatch, kept: bool) -> None:
    for (evolver,), places in split(batch, ("evolver",)):
        for name in ("prompt_tokens", "completion_tokens"):
            spent = int(pc.sum(batch.column(name).take(pa.array(places))).as_py() or 0)
            gathered.tokens[str(evolver or NOBODY), name, kept] += spent
