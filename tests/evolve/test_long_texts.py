"""Texts of models and logs as long as they come: what reads them takes time by their length, not by its square."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from evolve.autoif.augment import parse_instructions
from evolve.autoif.loose import unescaped, unfenced
from evolve.autoif.quality import parse_score
from evolve.autoif.records import Reply
from evolve.autoif.verification import parse_verification
from evolve.errors import TemplateError
from evolve.judging.difficulty import read_label, read_score
from evolve.judging.key_phrases import read_phrases
from evolve.judging.verdicts import read_place
from evolve.masking import mask_text
from evolve.method_search.propose import parse_method, says_nothing
from evolve.strategies.reply_sections import parse_reply

LENGTH = 300_000


def read_instructions(text: str) -> object:
    return parse_instructions(Reply(text, False))


def read_method(text: str) -> object:
    try:
        return parse_method(text)
    except TemplateError as error:
        return error


@pytest.mark.parametrize(
    ("read", "start", "unit"),
    [
        (unfenced, "```\n", " x"),
        (unfenced, "```\n", "\n"),
        (unfenced, "", "`"),
        (unfenced, "", "\n"),
        (read_place, "A", "!"),
        (read_place, "A", "\n"),
        (read_place, "A", "! "),
        (mask_text, "", "a"),
        (mask_text, "", "a."),
        (mask_text, "", "eyJa-"),
        (mask_text, "", "eyJaaaaaaaa-"),
        (mask_text, "", "http://a:b@"),
        (says_nothing, "", "!"),
        (read_method, "", "```a\n"),
        (read_method, "<method>", "{"),
        (parse_reply, "Methods:\n- a\n", " b\n"),
    ],
)
def test_it_takes_time_by_the_length(read: Callable[[str], object], start: str, unit: str) -> None:
    began = time.perf_counter()
    read(start + unit * (LENGTH // len(unit)) + "x")
    assert time.perf_counter() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "read",
    [
        mask_text,
        parse_reply,
        parse_score,
        parse_verification,
        read_instructions,
        read_label,
        read_method,
        read_phrases,
        read_place,
        read_score,
        unescaped,
        unfenced,
    ],
)
@pytest.mark.parametrize("unit", ["*", "-", " ", "\n", "(", "[", '{"', "{'", "\\", "1", "1 ", "a", "not ", "A is "])
def test_whoever_reads_a_reply_bears_endless_repeats(read: Callable[[str], object], unit: str) -> None:
    began = time.perf_counter()
    read(unit * (LENGTH // len(unit)))
    assert time.perf_counter() - began < 5
