"""From strategies' values to nested rounds, and from those to flat records."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.confidence import Confidence
from evolve.records import Evolved, Failed, Instruction, Rejected, Response, Round, Usage
from ray_jobs.output.rounds import (
    MAX_ERROR_CHARACTERS,
    failed_rounds,
    kept,
    round_rows,
    settle_answer,
    settle_failure,
    task_of,
)
from ray_jobs.output.schema import FAILED, KEPT, RECORD_SCHEMA, REJECTED, REJECTED_SCHEMA, ROUNDS, flatten
from tests.ray_jobs.samples import (
    CREATED,
    LABELS,
    MODELS,
    finished,
    kept_round,
    outcomes,
    rejected_round,
    unreadable_round,
)

SURE = Confidence.of([0.25] * 6)
EVOLVED = Evolved("harder", "deepen", "length", Usage(7, 3), SURE, '{"steps": 1}')
STATUSES: dict[str, Round] = {
    KEPT: EVOLVED,
    REJECTED: Rejected("equal", "same", "deepen"),
    FAILED: Failed("PromptRefused", "too long"),
}


def test_each_kind_of_result_fills_its_columns() -> None:
    rejected = Rejected("equal", "same", "reasoning", Usage(4, 2), "stop")
    failed = Failed("PromptRefused", "too long", "breadth", "harder", Usage(1, 0))
    assert round_rows([EVOLVED, rejected, failed]) == [
        {
            "round": 1,
            "parent_round": 0,
            "status": KEPT,
            "operator": "deepen",
            "instruction": "harder",
            "evolve_finish_reason": "length",
            "mean_top1_prob": 0.25,
            "top1_counts_first": [0] * 5 + [5] + [0] * 14,
            "top1_counts_rest": [0] * 5 + [1] + [0] * 14,
            "evolver_reasoning": None,
            "trajectory": '{"steps": 1}',
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "reasoning_tokens": 0,
        },
        {
            "round": 2,
            "parent_round": 1,
            "status": REJECTED,
            "stage": "evolve",
            "reason": "equal",
            "operator": "reasoning",
            "instruction": "same",
            "prompt_tokens": 4,
            "completion_tokens": 2,
            "reasoning_tokens": 0,
        },
        {
            "round": 3,
            "parent_round": 1,
            "status": FAILED,
            "stage": "evolve",
            "reason": "PromptRefused",
            "error": "too long",
            "operator": "breadth",
            "instruction": "harder",
            "prompt_tokens": 1,
            "completion_tokens": 0,
            "reasoning_tokens": 0,
        },
    ]


@given(st.lists(st.sampled_from(sorted(STATUSES)), max_size=8))
def test_the_parent_is_the_last_kept_round_before(statuses: list[str]) -> None:
    rows = round_rows([STATUSES[status] for status in statuses])
    for index, row in enumerate(rows):
        before = [number for number, status in enumerate(statuses[:index], start=1) if status == KEPT]
        assert row["parent_round"] == (before[-1] if before else 0)
    assert [row["round"] for row in kept(rows)] == [n for n, status in enumerate(statuses, 1) if status == KEPT]


def test_an_answer_adds_to_its_round() -> None:
    (row,) = round_rows([EVOLVED])
    settle_answer(row, Response("because", "stop", Usage(20, 30)))
    assert (row["status"], row["output"], row["respond_finish_reason"]) == (KEPT, "because", "stop")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (27, 33)
    assert row["evolve_finish_reason"] == "length"


def test_what_was_thought_stands_beside_an_answer_and_counts() -> None:
    (row,) = round_rows([replace(EVOLVED, usage=Usage(7, 3, 2))])
    settle_answer(row, Response("because", "stop", Usage(20, 30, 11), "Well \ud83d."))
    assert (row["output"], row["reasoning"], row["reasoning_tokens"]) == ("because", "Well ?.", 13)
    (row,) = round_rows([EVOLVED])
    settle_answer(row, Rejected("unfinished_reasoning", "", usage=Usage(20, 30, 30), reasoning="Well"))
    assert (row["status"], row["reason"], row["reasoning"], row["reasoning_tokens"]) == (
        REJECTED,
        "unfinished_reasoning",
        "Well",
        30,
    )
    settle_answer(row, Response("because", "stop", Usage()))
    assert row["reasoning"] is None


def test_an_answer_that_a_rule_turns_down_turns_its_round_down() -> None:
    (row,) = round_rows([EVOLVED])
    settle_answer(row, Rejected("refusal", "Sorry.", usage=Usage(20, 2)))
    assert (row["status"], row["stage"], row["reason"]) == (REJECTED, "respond", "refusal")
    assert (row["output"], row["completion_tokens"]) == ("Sorry.", 5)


def test_an_answer_that_fails_fails_its_round() -> None:
    row, other = round_rows([EVOLVED, EVOLVED])
    settle_answer(row, Failed("PromptRefused", "too long"))
    settle_failure(other, "respond", KeyError("gone"))
    assert [(r["status"], r["stage"], r["reason"]) for r in (row, other)] == [
        (FAILED, "respond", "PromptRefused"),
        (FAILED, "respond", "KeyError"),
    ]
    assert (row["error"], other["error"], row["prompt_tokens"]) == ("too long", "'gone'", 7)


def test_a_row_that_raised_fails_in_every_round() -> None:
    rows = failed_rounds(range(1, 4), "evolve", ValueError("x" * 5000))
    assert [(row["round"], row["parent_round"], row["status"], row["reason"]) for row in rows] == [
        (number, 0, FAILED, "ValueError") for number in (1, 2, 3)
    ]
    assert all(len(row["error"]) == MAX_ERROR_CHARACTERS for row in rows)


@pytest.mark.parametrize(
    "result", [Evolved("half \ud83d", "deepen", "stop", Usage()), Rejected("equal", "\udc00"), Failed("E", "\ud800")]
)
def test_text_that_is_not_unicode_does_not_end_the_block(result: Evolved | Rejected | Failed) -> None:
    (row,) = round_rows([result])
    if isinstance(result, Evolved):
        settle_answer(row, Response("half \udc00", "stop", Usage()))
    pa.array([[row]], ROUNDS.type)


def test_the_responder_sees_the_evolved_instruction_and_the_seeds_input() -> None:
    (row,) = round_rows([EVOLVED])
    assert task_of({"input": "1, 2", "seed_instruction": "sum"}, row) == Instruction("harder", "1, 2")


def test_a_row_becomes_a_record_a_round() -> None:
    rounds = [kept_round(1), rejected_round(2, 1), kept_round(3, 1)]
    records, rejected = outcomes(finished({7: rounds}))
    assert (records.schema, rejected.schema) == (RECORD_SCHEMA, REJECTED_SCHEMA)
    first, third = records.to_pylist()
    (second,) = rejected.to_pylist()
    assert [item["record_id"] for item in (first, second, third)] == ["row0007-1", "row0007-2", "row0007-3"]
    assert [item["parent_id"] for item in (first, second, third)] == ["seed0007", "row0007-1", "row0007-1"]
    assert {item["run_id"] for item in (first, second, third)} == {"run"}
    assert (first["evolver"], first["evolver_model"], first["responder_model"]) == ("a", "model-a", "model-a")
    assert (first["output"], first["ifd"], first["created_at"]) == ("answer 1", 2 / 3, CREATED)
    assert (second["status"], second["reason"], second["instruction"]) == (REJECTED, "unchanged", "same")
    assert (first["plan_row"], first["seed_index"], first["sample"]) == (7, 7, 0)


def test_constants_of_the_run_go_before_the_evolvers_model() -> None:
    flat = flatten(finished({1: [kept_round()]}), {**LABELS, "responder_model": "judge"}, MODELS)
    assert flat["responder_model"].to_pylist() == ["judge"]
    assert flat["scorer_model"].to_pylist() == [None]


def test_an_unreadable_seed_has_no_evolver() -> None:
    records, rejected = outcomes(finished({3: [unreadable_round()]}, evolver=None))
    (row,) = rejected.to_pylist()
    assert not records.num_rows
    assert (row["record_id"], row["parent_id"], row["round"]) == ("row0003-0", "seed0003", 0)
    assert (row["evolver"], row["evolver_model"], row["stage"]) == (None, None, "read")


@given(st.lists(st.lists(st.sampled_from([KEPT, REJECTED]), min_size=1, max_size=3), min_size=1, max_size=9), st.data())
def test_no_round_is_lost_however_the_table_is_cut(statuses: list[list[str]], data: st.DataObject) -> None:
    rows = finished(
        {
            n: [kept_round(i) if item == KEPT else rejected_round(i) for i, item in enumerate(row, 1)]
            for n, row in enumerate(statuses)
        }
    )
    start = data.draw(st.integers(0, len(statuses) - 1))
    cut = pa.concat_tables([rows[start:], rows[:start]])
    records, rejected = outcomes(cut)
    ids = records["record_id"].to_pylist() + rejected["record_id"].to_pylist()
    expected = {f"row{n:04d}-{i}": item for n, row in enumerate(statuses) for i, item in enumerate(row, 1)}
    assert sorted(ids) == sorted(expected)
    assert {expected[row] for row in records["record_id"].to_pylist()} <= {KEPT}
