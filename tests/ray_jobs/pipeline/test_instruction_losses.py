"""The loss of an instruction without its input: of those that have one scored by itself, of the others their L(Q)."""

from __future__ import annotations

from ray_jobs.pipeline.scores import score_rounds
from scoring.records import Pair, Scoring
from scoring.scripted import ScriptedScorer
from tests.ray_jobs.samples import kept_round


def test_an_instruction_is_scored_without_its_input() -> None:
    scorer = ScriptedScorer()
    rows = [({"input": text}, kept_round(instruction=f"Translate {text}.")) for text in ("", "maison", "")]
    score_rounds(Scoring(scorer, instructions=True), rows)
    losses = [item["loss_instruction"] for _, item in rows]
    assert losses[0] == rows[0][1]["loss_q"]
    assert losses[1] == scorer.score([Pair("Translate maison.", "", "")])[0].loss_q != rows[1][1]["loss_q"]
    assert losses[2] == rows[2][1]["loss_q"]


def test_it_is_taken_only_where_it_is_asked_for() -> None:
    rows = [({"input": "maison"}, kept_round())]
    score_rounds(Scoring(ScriptedScorer()), rows)
    assert "loss_instruction" not in rows[0][1]
