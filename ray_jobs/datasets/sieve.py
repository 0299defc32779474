"""The part of a selection that scores decide: who ranks, where each group is cut off, who is kept so far.

One reading of the score columns finds the cuts, and a second one the ids that decide between equal scores, where
they must. Memory is 8 bytes a record for the scores, and the ids at a cut where it splits a tie.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.datasets.outcomes import Group, Outcome, Outcomes, Places, split
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.score_columns import ScoreColumn
from ray_jobs.datasets.source import BATCH_ROWS, Source
from ray_jobs.output.counts import FINISH
from scoring.select import Cut, Mask, Scores, better, find_cut, first_ids, within


@dataclass(frozen=True)
class GroupCut:
    """The end of one group's ranking: how many of its records had a score, the cut, and the last id kept at it."""

    ranked: int
    cut: Cut | None
    last_id: str | None = None


@dataclass(frozen=True)
class Sifted:
    """A batch, its scores, and how each record stands after the scores have been looked at."""

    batch: pa.RecordBatch
    scores: Scores
    outcomes: Outcomes

    def passed(self) -> Sifted:
        """The records that are kept so far."""
        kept = self.outcomes == Outcome.KEPT
        return Sifted(self.batch.filter(pa.array(kept)), self.scores[kept], self.outcomes[kept])


class Sieve:
    """Keeps what ranks before its group's cut, or lies in the rule's range."""

    def __init__(self, source: Source, rule: Rule, column: ScoreColumn) -> None:
        assert rule.order is not None
        self._source, self._rule, self._column, self._order = source, rule, column, rule.order
        self.cuts: Mapping[Group, GroupCut] = {} if rule.top is None else self._find_cuts()

    def sift(self, columns: Sequence[str] | None = None) -> Iterator[Sifted]:
        """All batches of the source, sifted; with all columns, or at least these."""
        for item in self._ranked(None if columns is None else [*columns, "record_id"]):
            for group, places in split(item.batch, self._rule.per):
                self._cut_off(item, group, places[item.outcomes[places] == Outcome.KEPT])
            yield item

    def _ranked(self, columns: Sequence[str] | None) -> Iterator[Sifted]:
        """All batches, of which it is known which records rank."""
        limit = self._rule.drop_ifd_above
        reads = [
            *self._column.needs,
            *self._rule.per,
            *([] if limit is None else ["ifd"]),
            *([FINISH] if self._rule.drop_cut else []),
        ]
        for batch in self._source.batches(None if columns is None else [*columns, *reads]):
            scores = self._column.values(batch)
            outcomes = np.where(np.isnan(scores), Outcome.NULL_SCORE, Outcome.KEPT).astype(np.uint8)
            if limit is not None:
                above = _mask(pc.fill_null(pc.greater(batch.column("ifd"), limit), False))
                outcomes[above & (outcomes == Outcome.KEPT)] = Outcome.IFD_ABOVE_LIMIT
            if self._rule.drop_cut:
                cut = _mask(pc.fill_null(pc.equal(batch.column(FINISH), "length"), False))
                outcomes[cut & (outcomes == Outcome.KEPT)] = Outcome.CUT_ANSWER
            yield Sifted(batch, scores, outcomes)

    def _groups(self, columns: Sequence[str]) -> Iterator[tuple[Group, Sifted, Places]]:
        """The records that rank: batch by batch, group by group."""
        for item in self._ranked(columns):
            for group, places in split(item.batch, self._rule.per):
                yield group, item, places[item.outcomes[places] == Outcome.KEPT]

    def _find_cuts(self) -> dict[Group, GroupCut]:
        assert self._rule.top is not None
        chunks: defaultdict[Group, list[Scores]] = defaultdict(list)
        for group, item, places in self._groups([]):
            chunks[group].append(item.scores[places])
        cuts = {}
        for group in list(chunks):
            scores = np.concatenate(chunks.pop(group))
            cuts[group] = GroupCut(len(scores), find_cut(scores, self._rule.top, self._order))
        return self._break_ties(cuts)

    def _break_ties(self, cuts: dict[Group, GroupCut]) -> dict[Group, GroupCut]:
        """Find the last id kept among the records at each cut that splits a tie."""
        split_ties = {group: cut.cut for group, cut in cuts.items() if cut.cut and cut.cut.splits_a_tie}
        if not split_ties:
            return cuts
        ids: defaultdict[Group, list[pa.Array]] = defaultdict(list)
        for group, item, places in self._groups(["record_id"]):
            if cut := split_ties.get(group):
                equal = places[item.scores[places] == cut.score]
                ids[group].append(item.batch.column("record_id").take(pa.array(equal)))
                if sum(map(len, ids[group])) > 2 * cut.wanted + BATCH_ROWS:
                    ids[group] = [first_ids(pa.concat_arrays(ids[group]), cut.wanted)]
        last = {
            group: first_ids(pa.concat_arrays(ids[group]), cut.wanted)[-1].as_py() for group, cut in split_ties.items()
        }
        return {group: replace(cut, last_id=last.get(group)) for group, cut in cuts.items()}

    def _cut_off(self, sifted: Sifted, group: Group, places: Places) -> None:
        """Write down which of a group's ranked records, at `places`, are past its cut or outside the range."""
        scores = sifted.scores[places]
        if self._rule.range is not None:
            sifted.outcomes[places[~within(scores, *self._rule.range)]] = Outcome.OUTSIDE_RANGE
        else:
            ids = sifted.batch.column("record_id").take(pa.array(places))
            sifted.outcomes[places[~self._before(self.cuts[group], scores, ids)]] = Outcome.BELOW_CUT

    def _before(self, end: GroupCut, scores: Scores, ids: pa.Array) -> Mask:
        if end.cut is None:
            return np.zeros(len(scores), dtype=np.bool_)
        equal = scores == end.cut.score
        if end.last_id is not None:
            equal &= _mask(pc.less_equal(ids, end.last_id))
        kept: Mask = better(scores, end.cut.score, self._order) | equal
        return kept


def _mask(values: pa.BooleanArray) -> Mask:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.bool_)
