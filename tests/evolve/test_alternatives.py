"""The probabilities of whole answers, from the tokens of one reply."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from evolve.alternatives import UNTOLD, Option, Position, answer_start, expectation, fitting, remainder, resolve, weigh
from evolve.autoif.quality import score_quality
from evolve.autoif.records import Quality
from evolve.autoif.templates import Templates
from evolve.engines.openai_reply import Choice, Likely, Logprobs, Message, Token, probabilities
from evolve.flow import drive
from evolve.judging.comparison import PLACE_FORM, Comparison
from evolve.judging.difficulty import LABELS, LEVELS, SCORES, label_question, score_question
from evolve.judging.records import Case, Judged, Question, Side
from evolve.records import Completion, Instruction, Prompt
from evolve.testing.scripted_engine import ScriptedEngine


def positions(*options: Sequence[tuple[str, float]]) -> list[Position]:
    return [[Option(text, share, number) for number, (text, share) in enumerate(item)] for item in options]


def test_the_first_token_tells_answers_apart_and_the_rest_is_left_aside() -> None:
    found = weigh(("A", "B", "TIE"), positions([("A", 0.5), (" b", 0.25), ("The", 0.2), ("T", 0.05)]))
    assert found
    assert found.shares() == pytest.approx((0.5 / 0.8, 0.25 / 0.8, 0.05 / 0.8))


def test_along_the_reply_later_tokens_count_too() -> None:
    found = weigh(LABELS, positions([("very", 0.6), ("medium", 0.4)], [("hard", 0.75), ("easy", 0.25)], [("<end>", 1)]))
    assert found
    assert found.shares() == pytest.approx((0.15, 0, 0.4, 0, 0.45))


def test_an_answer_may_be_the_beginning_of_another() -> None:
    digits = [("Score", 1.0)], [(":", 1.0)], [(" ", 1.0)], [("8", 0.9), ("7", 0.001)], [("5", 0.5), ("<end>", 0.5)]
    found = weigh([*SCORES], positions(*digits))
    assert found
    assert [branch.begun for branch in found.branches] == ["Score: 7"]
    shares = found.shares()
    assert shares
    assert (shares[8], shares[85], shares[7]) == pytest.approx((0.5, 0.5, 0))


def test_a_branch_with_several_answers_leaves_it_open_until_it_is_gone_on_with() -> None:
    found = weigh(LABELS, positions([("easy", 0.5), (" Very", 0.5)]))
    assert found
    assert found.shares() is None
    (branch,) = found.branches
    assert (branch.place, branch.token, branch.begun) == (0, 1, " Very")
    assert [remainder(answer, branch.begun) for answer in fitting(LABELS, branch.begun)] == [" easy", " hard"]
    assert remainder("very easy", "very ") == "easy"
    more = weigh(LABELS, positions([(" hard", 0.9), (" easy", 0.1)]), branch.begun)
    assert more
    found.take(branch, more)
    assert found.shares() == pytest.approx((0.05, 0.5, 0, 0, 0.45))


class Spelling:
    """A language model of answers, each of which can be spelt in several ways: how likely a token is, is drawn."""

    tokens = ("<end>", *"Score: 0123456789vyasmdiumhp", "very", " easy", " hard", "easy", "medium", " ve", "m", "10")

    def __init__(self, answers: Sequence[str], spread: float) -> None:
        self._answers, self._spread, self.replies = answers, spread, 0
        self.next = cache(self._next)

    def _next(self, text: str) -> dict[int, float]:
        """The probability of each token that may come behind `text`."""
        weights = {
            number: math.exp(self._spread * Random(f"{text}|{token}").gauss(0, 1))
            for number, token in enumerate(self.tokens)
            if (text in self._answers if not number else any(item.startswith(text + token) for item in self._answers))
        }
        return {number: weight / sum(weights.values()) for number, weight in weights.items()}

    def exact(self, answer: str, text: str = "") -> float:
        """The probability of an answer, over all its spellings."""
        return sum(
            share * (self.exact(answer, text + self.tokens[number]) if number else float(text == answer))
            for number, share in self.next(text).items()
            if answer.startswith(text)
        )

    async def reply(self, before: list[int], begun: str) -> list[Position]:
        """The likeliest reply that goes on behind some tokens."""
        text, found, drawn = "".join(self.tokens[number] for number in before), list[Position](), -1
        assert text == begun
        self.replies += 1
        while drawn != 0:
            options = sorted(self.next(text).items(), key=lambda item: -item[1])
            found.append([Option(self.tokens[number], share, number) for number, share in options])
            drawn = options[0][0]
            text += self.tokens[drawn]
        return found


@pytest.mark.parametrize("answers", [LABELS, [*SCORES]])
@pytest.mark.parametrize("spread", [0.3, 2, 4])
def test_going_on_with_branches_finds_the_probabilities_of_all_answers(answers: Sequence[str], spread: float) -> None:
    model = Spelling(answers, spread)

    async def found() -> tuple[float, ...] | None:
        weighed = await resolve(answers, await model.reply([], ""), model.reply)
        return weighed and weighed.shares()

    assert asyncio.run(found()) == pytest.approx([model.exact(answer) for answer in answers], abs=UNTOLD)
    # one a beginning at most, not one an answer
    assert model.replies <= 11


def test_a_reply_that_is_no_answer_says_nothing() -> None:
    assert weigh(LABELS, positions([("Sure", 0.9), ("easy", 0.1)])) is None
    assert weigh(LABELS, positions([("very", 0.9)])) is None
    assert weigh(LABELS, []) is None


def test_the_answer_is_found_behind_thoughts() -> None:
    reply = positions([("easy", 1)], [("</think>", 1)], [("\n\n", 1)], [(" very", 1)], [(" easy", 1)], [("<end>", 1)])
    assert answer_start(reply, "very easy") == 3
    assert answer_start(reply, "hard") is None


def test_the_expected_value_is_the_mean_under_the_probabilities() -> None:
    assert expectation(LEVELS, (0, 0, 0.5, 0.5, 0)) == 3.5
    assert expectation(LEVELS, None) is None


def test_a_servers_tokens_tell_as_much() -> None:
    drawn = Token(-0.1, [Likely(-0.1, "85"), Likely(-2.4, "90")], "85")
    choice = Choice(Message("Score: 85"), logprobs=Logprobs([Token(0, None, "Score"), Token(0, None, ": "), drawn]))
    found = probabilities(choice, [*SCORES], "Score: 85")
    assert found
    assert 0.9 < found[85] < 1
    assert found[90] == pytest.approx(1 - found[85])
    assert probabilities(Choice(Message("Score: 85")), [*SCORES], "Score: 85") is None


class Weighing:
    """An engine that gives each answer twice the probability of the one before."""

    max_concurrency = 1

    def __init__(self, *replies: str) -> None:
        self.replies, self.asked = list(replies), list[Prompt]()

    async def generate(self, prompt: Prompt) -> Completion:
        self.asked.append(prompt)
        weights = [2.0**place for place in range(len(prompt.answers))]
        shares = tuple(weight / sum(weights) for weight in weights)
        return Completion(self.replies.pop(0), "stop", 1, 1, probabilities=shares or None)

    async def close(self) -> None:
        """Nothing is held."""


CASE = Case(Side(Instruction("Sort."), "x"), Side(Instruction("Sort."), "y"))


@pytest.mark.parametrize(
    ("question", "replies", "column", "value"),
    [
        (label_question(forms=True, expected=True), ["hard"], "expected_level", 129 / 31),
        (score_question(forms=True, expected=True), ["Score: 7"], "expected_score", 99),
        # A 1/7, B 2/7, a tie 4/7 in either order
        (Comparison(forms=True, expected=True), ["A", "B"], "expected_win_score", 0.5),
    ],
)
def test_a_judge_keeps_the_expected_value_beside_the_sampled(
    question: Question, replies: list[str], column: str, value: float
) -> None:
    engine = Weighing(*replies)
    found = asyncio.run(drive(question.ask(CASE, Random(1)), engine))
    assert isinstance(found, Judged)
    assert found.values[column] == pytest.approx(value, abs=0.01)
    assert all(prompt.answers and prompt.form for prompt in engine.asked)


@pytest.mark.parametrize(("expected", "told"), [(True, 9217 / 1023), (False, None)])
def test_autoifs_judge_does_so_where_it_is_asked_to(expected: bool, told: float | None) -> None:
    engine = Weighing("Score: 3")
    flow = score_quality("a", "b", "c", Templates.load().quality, Random(0), forms=True, expected=expected)
    quality, _ = asyncio.run(drive(flow, engine))
    assert isinstance(quality, Quality)
    assert (quality.score, quality.expected) == (3, told if told is None else pytest.approx(told))
    assert bool(engine.asked[0].answers) == expected


def test_nothing_is_asked_for_where_nothing_is_expected() -> None:
    for question in (label_question(forms=True), score_question(forms=True), Comparison(forms=True)):
        engine = Weighing("A easy 7", "A easy 7")
        asyncio.run(drive(question.ask(CASE, Random(1)), engine))
        assert not any(prompt.answers for prompt in engine.asked)


def test_an_engine_that_tells_none_leaves_the_column_empty() -> None:
    engine = ScriptedEngine(reply=lambda _: "hard")
    silent = label_question(forms=True, expected=True).ask(CASE, Random(1))
    prompt = next(silent)
    reply = replace(asyncio.run(engine.generate(prompt)), probabilities=None)
    with pytest.raises(StopIteration) as end:
        silent.send(reply)
    assert end.value.value.values["expected_level"] is None
    assert PLACE_FORM.choices == ("A", "B", "TIE")
