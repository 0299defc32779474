"""Several answers in a round: what is kept of each, and which becomes the output."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from evolve.choosing import Choice
from evolve.records import Answer, Failed, Rejected, Response, Usage
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.schema import ROUND_TYPE
from ray_jobs.output.several import candidates, choose_by_scores, settle_answers
from tests.ray_jobs.samples import kept_round

CUT = Rejected("truncated_response", "Maybe 5", "", Usage(9, 8, 2), "length", "Hm.")
GONE = Failed("content_filter", "withheld", usage=Usage(0, 0))


def response(text: str, written: int = 3) -> Response:
    return Response(text, "stop", Usage(0, written), f"Thought of {text}")


def settled(answers: list[Answer], choice: Choice) -> RoundRow:
    fresh = kept_round(output=None, prompt_tokens=10, completion_tokens=1)
    item: RoundRow = pa.array([fresh], ROUND_TYPE)[0].as_py()
    settle_answers(item, answers, choice)
    back: RoundRow = pa.array([item], ROUND_TYPE)[0].as_py()
    return back


def test_an_answer_that_fell_leaves_the_others_and_all_are_kept() -> None:
    item = settled([CUT, response("It is 4."), GONE, response("So #### 5"), response("4, then")], Choice("agreement"))
    assert item["status"] == "kept"
    assert item["answers"] == ["Maybe 5", "It is 4.", "", "So #### 5", "4, then"]
    assert item["answer_faults"] == ["truncated_response", None, "content_filter", None, None]
    assert item["answer_finish_reasons"] == ["length", "stop", None, "stop", "stop"]
    assert item["answer_tokens"] == [8, 3, 0, 3, 3]
    assert item["answer_reasoning"] == [
        "Hm.",
        "Thought of It is 4.",
        None,
        "Thought of So #### 5",
        "Thought of 4, then",
    ]
    assert item["answer_finals"] == [None, "4", None, "5", "4"]
    assert item["answer_scores"] == [None, pytest.approx(2 / 3), None, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert (item["answer_index"], item["output"], item["chosen_by"]) == (1, "It is 4.", "agreement")
    assert item["reasoning"] == "Thought of It is 4."
    assert (item["rejected_outputs"], item["rejected_scores"]) == (["So #### 5"], [pytest.approx(1 / 3)])
    # the prompt is read once, whichever answer tells of it
    assert (item["prompt_tokens"], item["completion_tokens"]) == (10 + 9, 1 + 8 + 3 * 3)


def test_where_none_stands_the_round_ends_as_the_first_answer() -> None:
    item = settled([CUT, GONE], Choice("length"))
    assert (item["status"], item["reason"], item["answer_faults"]) == (
        "rejected",
        "truncated_response",
        ["truncated_response", "content_filter"],
    )
    assert item["chosen_by"] is None


def test_the_longest_or_the_shortest() -> None:
    answers: list[Answer] = [response("four"), response("fo"), response("four!")]
    assert settled(answers, Choice("length"))["output"] == "four!"
    shortest = settled(answers, Choice("length", "lowest", "all"))
    assert (shortest["output"], shortest["rejected_outputs"]) == ("fo", ["four", "four!"])
    assert shortest["answer_spread"] == 3


def test_without_a_final_answer_the_first_is_kept() -> None:
    item = settled([response("four"), response("five")], Choice("agreement"))
    assert (item["output"], item["chosen_by"], item["answer_spread"]) == ("four", "first", None)


@pytest.mark.parametrize(
    ("scores", "kept", "by"), [([0.5, 0.9], 3, "ifd"), ([0.9, 0.9], 1, "ifd"), ([None, None], 1, "first")]
)
def test_scores_choose_and_stay_those_of_the_answer_that_is_kept(scores: list[Any], kept: int, by: str) -> None:
    choice = Choice("ifd")
    item = settled([CUT, response("one"), GONE, response("two")], choice)
    found = candidates(item)
    assert [answered["output"] for answered in found] == ["one", "two"]
    for answered, score in zip(found, scores, strict=True):
        answered |= {"ifd": score, "loss_a": None if score is None else 2 * score}
    choose_by_scores([item], found, choice)
    assert (item["answer_index"], item["output"], item["chosen_by"]) == (kept, item["answers"][kept], by)
    assert item["answer_scores"] == [None, scores[0], None, scores[1]]
    assert item["ifd"] == item["answer_score"] == item["answer_scores"][kept]
    assert item["loss_a"] == (None if item["ifd"] is None else 2 * item["ifd"])
