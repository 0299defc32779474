"""A round as a value, and its way to Arrow and back: the columns of the dictionaries that actors exchange."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve import records
from evolve.confidence import Confidence
from evolve.records import Evolved, Failed, Instruction, Rejected, Response, Usage
from ray_jobs.output import rounds as plain
from ray_jobs.output.round import (
    MAX_DETAIL_CHARACTERS,
    VALUES,
    Outcome,
    Round,
    evolved_rounds,
    failed_rounds,
    from_arrow,
    to_arrow,
)
from ray_jobs.output.schema import FAILED, KEPT, REJECTED, ROUND_TYPE, ROUNDS
from tests.ray_jobs.samples import unreadable_round

TEXTS = st.text(st.characters(codec=None), max_size=8)
USAGES = st.builds(Usage, st.integers(0, 99), st.integers(0, 99))
SURENESS = st.none() | st.lists(st.floats(0, 1), min_size=1, max_size=9).map(Confidence.of)
ENDINGS = st.sampled_from(["stop", "length"])
EVOLVED = st.builds(Evolved, TEXTS, TEXTS.map(plain.storable), ENDINGS, USAGES, SURENESS, st.none() | TEXTS)
REJECTED_ONES = st.builds(Rejected, st.sampled_from(["equal", "refusal"]), TEXTS, st.just("deepen"), USAGES)
FAILED_ONES = st.builds(Failed, st.just("PromptRefused"), TEXTS, st.just("deepen"), TEXTS, USAGES)
RESULTS = st.lists(EVOLVED | REJECTED_ONES | FAILED_ONES, max_size=4)
ANSWERS = st.builds(Response, TEXTS, ENDINGS, USAGES) | REJECTED_ONES | FAILED_ONES
SCORES = st.dictionaries(st.sampled_from(["ifd", "ic_ifd", "loss_q"]), st.none() | st.floats(0, 9))


@given(RESULTS, st.lists(ANSWERS, min_size=4, max_size=4), SCORES)
def test_rounds_are_in_arrow_what_dictionaries_were(
    results: list[records.Round], answers: list[records.Answer], scores: dict[str, float | None]
) -> None:
    before, now = plain.round_rows(results), evolved_rounds(results)
    for row, answer in zip(plain.kept(before), answers, strict=False):
        plain.settle_answer(row, answer)
    given_answers = iter(answers)
    now = [item.answered(next(given_answers)) if item.kept else item for item in now]
    for row in plain.kept(before):
        row |= scores
    now = [item.with_values(scores) if item.kept else item for item in now]
    arrow = to_arrow([now, None])
    assert arrow == pa.array([before, None], ROUNDS.type)
    assert from_arrow(arrow) == [now, None]


def test_a_row_that_raised_is_what_it_was() -> None:
    error = ValueError("x" * 5000)
    before, now = plain.failed_rounds(range(1, 4), "evolve", error), failed_rounds(range(1, 4), "evolve", error)
    assert to_arrow([now]) == pa.array([before], ROUNDS.type)
    assert len(now[0].outcome.detail or "") == MAX_DETAIL_CHARACTERS


def test_a_seed_that_cannot_be_read_has_spent_nothing() -> None:
    before = unreadable_round()
    now = Round(0, outcome=Outcome.failed("read", before["reason"], before["error"]))
    assert to_arrow([[now]]) == pa.array([[before]], ROUNDS.type)
    assert now.usage is None


def test_the_parent_is_the_last_kept_round_before() -> None:
    kept, rejected = Evolved("a", "deepen", "stop", Usage()), Rejected("equal", "a")
    assert [item.parent for item in evolved_rounds([kept, rejected, kept, kept])] == [0, 1, 1, 3]


def test_outcomes_have_one_vocabulary() -> None:
    assert Outcome().status == KEPT
    assert Outcome.of(Rejected("refusal", "Sorry."), "respond") == Outcome(REJECTED, "respond", "refusal")
    assert Outcome.of(Failed("TimeoutError", "late"), "score") == Outcome(FAILED, "score", "TimeoutError", "late")
    assert Outcome.raised("evolve", KeyError("gone")) == Outcome(FAILED, "evolve", "KeyError", "'gone'")


def test_a_round_is_a_value() -> None:
    item = Round(1, instruction="harder")
    with pytest.raises(FrozenInstanceError):
        item.number = 2  # type: ignore[misc]
    assert item.task("1, 2") == Instruction("harder", "1, 2")
    assert item.spent(Usage(1, 2)).spent(Usage(3, 4)).usage == Usage(4, 6)
    assert not item.ended(Outcome.rejected("respond", "refusal")).kept
    assert item.kept


def test_every_column_of_a_round_is_a_field_or_a_value() -> None:
    every = dict.fromkeys(VALUES, 1) | {"score_note": "looked at twice"}
    (raw,) = to_arrow([[Round(1).with_values(every)]]).to_pylist()[0]
    assert {name: raw[name] for name in VALUES} == every
    assert set(raw) == set(ROUND_TYPE.names)
    with pytest.raises(AssertionError, match="nonsense is no column"):
        Round(1).with_values({"nonsense": 1})
