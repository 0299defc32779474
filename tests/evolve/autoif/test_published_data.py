"""The samples that the authors of AutoIF published: our parsers and gates must agree with what they stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evolve.autoif.cross_validation import cross_validate
from evolve.autoif.records import Case, Verification
from evolve.autoif.responses import score_responses
from evolve.autoif.rules import OFFICIAL, PAPER
from evolve.autoif.templates import load_constraints
from evolve.autoif.verification import parse_verification
from evolve.sandbox import Sandbox


def rows(shared: Path, name: str) -> list[dict[str, Any]]:
    lines = (shared / "data" / "autoif" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def test_every_stored_pass_rate_is_recomputed(shared: Path, box: Sandbox) -> None:
    compared = 0
    for row in rows(shared, "back_trans.jsonl"):
        cases = tuple(Case(text, expected) for text, expected in row["cases"])
        stored = dict(map(tuple, row["eval_func"]))
        asked = [Verification(source, cases) for source in stored]
        result = cross_validate(row["instruction"], asked, PAPER.cross_validation, box.check)
        assert {function.source: function.accuracy for function in result.functions} == pytest.approx(stored)
        compared += len(result.functions)
    assert compared == 22


def test_every_published_reply_parses(shared: Path) -> None:
    replies = [text for row in rows(shared, "eval_func_rft.jsonl") for text in row["gpt-answer"]]
    parsed = [parse_verification(text) for text in replies]
    assert len(replies) == 40
    assert [text for text, (found, _) in zip(replies, parsed, strict=True) if found is None] == []
    assert all("def evaluate" in found.function for found, _ in parsed if found)
    assert sum(len(found.cases) for found, _ in parsed if found) == 3 * 40
    assert [dropped for _, dropped in parsed if dropped] == []


def test_no_published_response_passes(shared: Path, box: Sandbox) -> None:
    scored = [
        response
        for row in rows(shared, "query_rft.jsonl")
        for response in score_responses([source for source, _ in row["eval_func"]], row["gpt-answer"], box.check)
    ]
    assert [item.accuracy for item in scored] == [0.0] * 320


@pytest.mark.parametrize("rules", [PAPER, OFFICIAL], ids=["paper", "official"])
def test_published_replies_go_through_cross_validation(shared: Path, box: Sandbox, rules: Any) -> None:
    for row in rows(shared, "eval_func_rft.jsonl"):
        found = [parse_verification(text)[0] for text in row["gpt-answer"]]
        asked = [item for item in found if item]
        result = cross_validate(row["instruction"], asked, rules.cross_validation, box.check)
        functions = len(result.functions) + sum(item.kind == "function" for item in result.dropped)
        cases = len(result.cases) + sum(item.kind == "case" for item in result.dropped)
        assert functions <= len(asked)
        if result.kept:
            assert functions == len(asked)
            assert cases == sum(len(item.cases) for item in asked)
            assert all(function.accuracy >= 0.8 for function in result.functions)


def test_our_seeds_are_not_the_published_ones(shared: Path) -> None:
    published = (shared / "data" / "autoif" / "seed_instruction.txt").read_text(encoding="utf-8").splitlines()
    assert not {item.strip().lower() for item in published} & {constraint.lower() for constraint in load_constraints()}
