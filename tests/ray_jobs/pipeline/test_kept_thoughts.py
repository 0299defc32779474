"""Thoughts beside what they led to: kept where a run asks for it, scored with the answer where its scorer does."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.records import Evolved, Usage
from ray_jobs.output.rounds import round_rows
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.pipeline.scores import score_rounds
from scoring.records import Pair, Scores, Scoring
from scoring.scripted import ScriptedScorer
from tests.ray_jobs.samples import kept_round


class Noting:
    """A scorer that keeps what it is given."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        """Scripted scores."""
        self.answers += [pair.output for pair in pairs]
        return ScriptedScorer().score(pairs)


def scored(with_reasoning: bool) -> list[str]:
    scorer, row = Noting(), {"input": ""}
    rounds = [(row, kept_round(1, output="4", reasoning="2 and 2")), (row, kept_round(2, output="5"))]
    score_rounds(Scoring(scorer), rounds, with_reasoning)
    return scorer.answers


def test_answers_are_scored_alone_or_behind_their_thoughts() -> None:
    assert scored(False) == ["4", "5"]
    assert scored(True) == ["<think>\n2 and 2\n</think>\n\n4", "5"]


def test_what_the_evolver_thought_stands_in_a_column_of_kept_records() -> None:
    evolved = Evolved("harder", "deepen", "stop", Usage(), reasoning="make it harder")
    assert round_rows([evolved])[0]["evolver_reasoning"] == "make it harder"
    assert "evolver_reasoning" in RECORD_SCHEMA.names
    assert "evolver_reasoning" not in REJECTED_SCHEMA.names
