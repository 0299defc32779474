"""Duplicates, queries, responses, pairs, templates and presets."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from evolve.autoif.augment import keep_new
from evolve.autoif.duplicates import Duplicates
from evolve.autoif.nli import contradicted
from evolve.autoif.quality import too_low
from evolve.autoif.queries import pair, usable_queries
from evolve.autoif.records import Dropped
from evolve.autoif.responses import ScoredResponse, Verified, choose_pairs, score_responses, verify
from evolve.autoif.rules import AUTOIF_PAPER, OFFICIAL, PAPER, PRESETS, Threshold
from evolve.autoif.templates import TEMPLATES, Templates, load_constraints
from evolve.errors import TemplateError
from evolve.prompts import SHIPPED
from evolve.records import Answer, Failed, Rejected, Response, Usage
from evolve.sandbox import Sandbox


def test_exact_and_near_duplicates_name_what_they_repeat() -> None:
    seen = Duplicates(0.75)
    seen.add_all(["Use no words that contain the letter E"])
    kept, dropped = keep_new(
        [
            "use no words that contain the letter 'e'!",
            "Use no words that do contain the letter E",
            "Use no adjectives",
            "Use no adjectives",
            "Use only adjectives",
        ],
        seen,
    )
    assert kept == ["Use no adjectives", "Use only adjectives"]
    assert [item.reason for item in dropped] == ["duplicate", "near_duplicate", "duplicate"]
    assert dropped[1].detail == "of: Use no words that contain the letter E"


def test_near_is_at_the_threshold_and_not_below() -> None:
    # Three words and two pairs each; two words and one pair in common: 3 of 7.
    assert _seen("a b c", 3 / 7).add("a b d") == ("near_duplicate", "a b c")
    assert _seen("a b c", 3 / 7 + 1e-9).add("a b d") is None


def test_a_thousand_instructions_are_told_apart_fast() -> None:
    seen = Duplicates(0.8)
    draw = Random(0)
    words = [f"word{number}" for number in range(400)]
    texts = [" ".join(draw.sample(words, 8)) for _ in range(1000)]
    assert sum(seen.add(text) is None for text in texts) == 1000
    assert all(seen.add(text) is not None for text in texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Answer with exactly three short sentences", "Answer with exactly five short sentences"),
        ("Write a text of exactly 100 words in all", "Write a text of exactly 50 words in all"),
        ("Use the word however twice in your answer", "Use the word however once in your answer"),
        ("Do use commas in every one of the sentences", "Do not use commas in every one of the sentences"),
        ("Write lines that do rhyme with each other", "Write lines that don't rhyme with each other"),
        ("Put 3 words in the first 2 lines of it", "Put 2 words in the first 3 lines of it"),
    ],
)
def test_numbers_and_negations_make_texts_different(one: str, other: str) -> None:
    seen = _seen(one, 0.3)
    assert seen.add(other) is None
    assert seen.add(f"{other} please") == ("near_duplicate", other)


def test_a_number_is_the_same_in_words_and_in_digits() -> None:
    assert _seen("Use exactly three commas here", 0.3).add("Use exactly 3 commas here") is not None


def test_without_a_threshold_there_are_exact_duplicates_alone() -> None:
    seen = Duplicates(None)
    seen.add_all(["Use no adjectives at all"])
    assert seen.add("Use no adjectives at all, please") is None
    assert seen.add("use no adjectives at all!") == ("duplicate", "Use no adjectives at all")
    assert PAPER.near_duplicate is None
    assert OFFICIAL.near_duplicate == AUTOIF_PAPER.near_duplicate == 0.8


def _seen(text: str, threshold: float) -> Duplicates:
    seen = Duplicates(threshold)
    seen.add_all([text])
    return seen


def test_queries_fall_by_length_and_repetition() -> None:
    queries = ["x" * 20, "x" * 21, "x" * 299, "x" * 300, "x" * 21]
    kept, dropped = usable_queries(queries, (20, 300))
    assert kept == ["x" * 21, "x" * 299]
    assert [item.reason for item in dropped] == ["too_short", "too_long", "duplicate"]


def test_pairing_draws_without_replacement_and_repeats() -> None:
    queries = [str(number) for number in range(50)]
    drawn = pair(queries, 16, Random(3))
    assert len(set(drawn)) == 16
    assert drawn == pair(queries, 16, Random(3))
    assert sorted(pair(queries[:4], 16, Random(3))) == queries[:4]


def test_responses_get_their_mean_accuracy(box: Sandbox) -> None:
    functions = [
        "def evaluate(response): return len(response) > 2",
        "def evaluate(response): return response.isupper()",
        "def evaluate(response): return response[2] == 'C'",
        "def evaluate(response): return 1",
    ]
    scored = score_responses(functions, ["ABC", "abc", "AB", ""], box.check)
    assert [item.accuracy for item in scored] == [0.75, 0.25, 0.25, 0.0]
    with pytest.raises(ValueError, match="at least one function"):
        score_responses([], ["x"], box.check)


def test_responses_fall_below_the_threshold(box: Sandbox) -> None:
    functions = [
        "def evaluate(response): return len(response) > 2",
        "def evaluate(response): return response.isupper()",
    ]
    answers: list[Answer] = [
        Response("ABC", "stop", Usage(3, 2)),
        Rejected("truncated", "AB"),
        Response("abc", "stop", Usage(3, 1)),
        Response("ABC", "stop", Usage()),
        Failed("PromptRefused", "no"),
    ]
    found = verify(answers, functions, Threshold(0.5, strict=True), box.check)
    assert [item.accuracy for item in found] == [1.0, None, 0.5, 1.0, None]
    dropped = Rejected("accuracy", "abc", "", Usage(3, 1), "stop")
    assert [item.answer for item in found] == [answers[0], answers[1], dropped, answers[3], answers[4]]
    assert verify(answers[1:2], functions, Threshold(0.5), box.check) == [Verified(answers[1])]


def test_pairs_are_the_best_against_those_that_fail_everywhere() -> None:
    accuracies = {"a": 0.5, "b": 1.0, "c": 0.75, "d": 0.0, "e": 0.25, "f": 0.0, "g": 0.0}
    scored = [ScoredResponse(text, accuracy) for text, accuracy in accuracies.items()]
    pairs = choose_pairs(scored, OFFICIAL.chosen, OFFICIAL.rejected, OFFICIAL.pair_side)
    assert [(pair.chosen.text, pair.rejected.text) for pair in pairs] == [
        ("b", "d"),
        ("b", "f"),
        ("c", "d"),
        ("c", "f"),
    ]
    assert choose_pairs(scored[:3], OFFICIAL.chosen, 0.0, 2) == []
    assert choose_pairs(scored[3:], OFFICIAL.chosen, 0.0, 2) == []
    same = [ScoredResponse("b", 1.0), ScoredResponse("b", 1.0), ScoredResponse("d", 0.0)]
    assert len(choose_pairs(same, OFFICIAL.chosen, 0.0, 2)) == 1


def test_any_contradiction_drops_the_instruction() -> None:
    unreadable = Dropped("nli", "back_translation", "no_label", "?")
    assert contradicted("x", [("a", "entailment"), ("b", "neutral"), ("c", unreadable)]) is None
    found = contradicted("x", [("a", "entailment"), ("b", "contradiction")])
    assert found == Dropped("nli", "instruction", "contradiction", "x", "by: b")
    assert contradicted("x", []) is None


def test_quality_is_above_8_or_from_8_on() -> None:
    assert OFFICIAL.quality is not None
    assert AUTOIF_PAPER.quality is not None
    assert too_low(8, OFFICIAL.quality, "x") == Dropped("quality", "response", "score", "x", "8")
    assert too_low(9, OFFICIAL.quality, "x") is None
    assert too_low(8, AUTOIF_PAPER.quality, "x") is None


def test_presets_differ_where_the_sources_do() -> None:
    assert set(PRESETS) == {"paper", "official", "autoif_paper", "paper_0.1"}
    official = OFFICIAL.cross_validation
    assert (official.min_functions, official.min_cases) == (3, 10)
    assert (PAPER.cross_validation.min_functions, PAPER.cross_validation.min_cases) == (1, 1)
    assert PAPER.respond_sampling.temperature == 0
    assert (PAPER.back_translations, PAPER.nli, PAPER.quality, PAPER.pair_side) == (0, False, None, 0)


def test_there_are_enough_seeds_and_no_near_duplicates_among_them() -> None:
    constraints = load_constraints()
    assert len(constraints) >= 40
    assert keep_new(constraints, Duplicates(0.6))[1] == []


def test_own_seeds_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "own.txt"
    path.write_text("# mine\n\nUse no vowels \nWrite in rhyme\n")
    assert load_constraints(path) == ("Use no vowels", "Write in rhyme")
    path.write_text("Use no vowels\nx\nUse no vowels\n")
    with pytest.raises(TemplateError, match="line 3 repeats line 1"):
        load_constraints(path)
    path.write_text("# nothing\n")
    with pytest.raises(TemplateError, match="found none"):
        load_constraints(path)
    with pytest.raises(TemplateError, match=r"absent\.txt"):
        load_constraints(tmp_path / "absent.txt")


def test_every_shipped_template_loads_and_is_known(tmp_path: Path) -> None:
    shipped = {f"autoif/{path.stem}" for path in (SHIPPED / "autoif").glob("*.txt")}
    assert shipped == TEMPLATES
    assert '{"func": "..."' in Templates.load().verify.text
    (tmp_path / "autoif").mkdir()
    (tmp_path / "autoif" / "nli.txt").write_text("Same? {premise} / {hypothesis}")
    assert Templates.load(tmp_path).nli.text == "Same? {premise} / {hypothesis}"
    assert Templates.load(tmp_path).digest() != Templates.load().digest()
    (tmp_path / "autoif" / "verify.txt").write_text("Write a function")
    with pytest.raises(TemplateError, match="instruction"):
        Templates.load(tmp_path)


def test_a_prompt_for_quality_may_show_braces(tmp_path: Path) -> None:
    (tmp_path / "autoif").mkdir()
    own = tmp_path / "autoif" / "quality.txt"
    own.write_text("{instruction} / {query}\nReply with {score: N} or {{grade}} or {grade}.")
    rendered = Templates.load(tmp_path).quality.render(instruction="a", query="{grade}b", response="c")
    assert rendered == "a / {grade}b\nReply with {score: N} or {{grade}} or {grade}."
    own.write_text("{instruction} / {query} / {respons}")
    with pytest.raises(TemplateError, match=r"did you mean \{response\}"):
        Templates.load(tmp_path)
    (tmp_path / "autoif" / "verify.txt").write_text("{instruction} {grade}")
    own.unlink()
    with pytest.raises(TemplateError, match=r"unknown placeholder \{grade\}"):
        Templates.load(tmp_path)
