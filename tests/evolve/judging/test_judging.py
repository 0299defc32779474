"""Questions to a judge: what its replies mean, and what cannot be read."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from evolve.errors import TemplateError
from evolve.flow import drive
from evolve.judging.comparison import Comparison
from evolve.judging.difficulty import label_question, read_label, read_score, score_question
from evolve.judging.key_phrases import KeyPhrases, read_phrases
from evolve.judging.records import GREEDY, Case, Finding, Judged, Question, Side
from evolve.judging.verdicts import read_place
from evolve.records import Failed, Instruction, Prompt, Rejected
from evolve.testing.scripted_engine import Script, ScriptedEngine

TASK = Instruction("Sort these words.", "pear, apple")


def found(question: Question, case: Case, *replies: str, refuse: str = "") -> tuple[Finding, list[Prompt]]:
    """What a question finds where the judge gives these replies in turn, and what the judge was asked."""
    asked: list[Prompt] = []

    def reply(prompt: Prompt) -> str:
        asked.append(prompt)
        return replies[len(asked) - 1]

    engine = ScriptedEngine(Script(refuse_text=refuse), reply)
    return asyncio.run(drive(question.ask(case, Random(1)), engine)), asked


@pytest.mark.parametrize(
    ("reply", "label", "level"),
    [
        ("very easy", "very easy", 1),
        ("Easy.", "easy", 2),
        ("Difficulty: **Medium**", "medium", 3),
        ("This task is hard, really hard.", "hard", 4),
        ("VERY_HARD", "very hard", 5),
        ("It is not hard, it is easy.", "easy", 2),
        ("neither easy nor hard: medium", "medium", 3),
        ("Hard for some, easy for others, with many steps.\n\n**Difficulty:** medium", "medium", 3),
        ("It may look easy. My label is very hard.", "very hard", 5),
        ('{"reason": "easy words, hard thought", "difficulty": "hard"}', "hard", 4),
        ("Not easy at all.\n[[very hard]]", "very hard", 5),
    ],
)
def test_one_label_is_read(reply: str, label: str, level: int) -> None:
    assert read_label(reply) == {"difficulty_label": label, "difficulty_level": level}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no_label"),
        ("Here are the words: apple, pear", "no_label"),
        ("A hardy plant, easily kept", "no_label"),
        ("not very hard", "no_label"),
        ("It is not hard.", "no_label"),
        ("This isn't very hard.", "no_label"),
        ("Difficulty: easy to medium", "several_labels"),
        ("Difficulty: easy\nDifficulty: hard", "several_labels"),
        ("easy to medium", "several_labels"),
        ("very easy, easy, medium, hard, very hard", "several_labels"),
    ],
)
def test_a_reply_that_may_mean_two_things_or_none_is_not_read(reply: str, reason: str) -> None:
    assert read_label(reply) == reason


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Score: 7", 7),
        ("85/100", 85),
        ("I say 62.5 out of 100.", 62.5),
        ("On a scale of 0 to 100: 40", 40),
        ("0", 0),
        ("Score: 7/10", 70),
        ("It takes 3 steps and has 2 conditions.\nScore: 45", 45),
        ("**Rating:** 4 out of 5, for its 3 steps", 80),
        ("Score: 1/10000000", 0),
    ],
)
def test_one_number_is_read(reply: str, score: float) -> None:
    assert read_score(reply) == {"difficulty_score": score}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("It is hard.", "no_score"),
        ("on a scale of 0-100", "no_score"),
        ("between 60 and 70", "several_scores"),
        ("Score: 60 to 70", "several_scores"),
        ("Score: 40\nScore: 50", "several_scores"),
        ("Score: 12/10", "out_of_range"),
        ("Score: 150", "out_of_range"),
        ("Score: -3", "out_of_range"),
        ("Score: 100000000000000000000/10", "out_of_range"),
        (f"Score: {'9' * 5000}", "out_of_range"),
        (f"Score: {'9' * 5000}/10", "no_score"),
        (f"It is 7/{'9' * 5000}.", "several_scores"),
        (f"It is 7/{'9' * 400}.", "several_scores"),
    ],
)
def test_numbers_that_are_no_score_are_not_read(reply: str, reason: str) -> None:
    assert read_score(reply) == reason


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("**B**", "B"),
        ("Answer: A", "A"),
        ("tie", "TIE"),
        ("A tie", "TIE"),
        ("Answer A is better than Answer B", "A"),
        ("The better one is Answer B.", "B"),
        ("I think B", "B"),
        ("A good answer", None),
        ("A or B", None),
        ("Answer B is worse than Answer A", "A"),
        ("Assistant 1 is better than Assistant 2", "A"),
        ("Assistant 1 is worse than Assistant 2.", "B"),
        ("Assistant 1 is equal to Assistant 2", "TIE"),
        ("Assistant 2 is slightly better than Assistant 1", "B"),
        ("[[A]]", "A"),
        ("A says more, B is right. My final verdict is: [[B]]", "B"),
        ("[[C]]", "TIE"),
        ("A is good. My final verdict is: [[B>>A]]", "B"),
        ("[[A>B]]", "A"),
        ("[[A<B]]", "B"),
        ("[[A=B]]", "TIE"),
        ("Answer A is long. Answer B is right.\n\nVerdict: B", "B"),
        ("Verdict: B so far.\nOn second thoughts:\nVerdict: A", "A"),
        ("Winner: Assistant 2", "B"),
        ("Answer A: fine.\nAnswer B: wrong.", None),
        ("Answer A is not better.", None),
        ("A is not better than B", None),
        ("Verdict: A or B", None),
        ("My decision is a difficult one", None),
        ("Both are fine", None),
        ("", None),
    ],
)
def test_the_side_that_a_reply_names(reply: str, place: str | None) -> None:
    assert read_place(reply) == place


def test_a_judge_sees_instruction_and_input_and_its_tokens_are_counted() -> None:
    finding, asked = found(label_question(), Case(Side(TASK)), "hard")
    assert isinstance(finding, Judged)
    assert finding.values == {"difficulty_label": "hard", "difficulty_level": 4}
    assert "Sort these words.\n\npear, apple" in asked[0].text
    assert asked[0].sampling.temperature == 0
    assert finding.usage.prompt_tokens == len(asked[0].text) // 4


def test_a_judge_may_see_the_instruction_alone() -> None:
    question = label_question(with_input=False)
    _, asked = found(question, Case(Side(TASK)), "hard")
    assert "Sort these words." in asked[0].text
    assert "pear" not in asked[0].text
    assert question.fingerprint() != label_question().fingerprint()


def test_a_judge_may_have_room_to_reason() -> None:
    room = replace(GREEDY, max_tokens=700)
    for question in (label_question(sampling=room), score_question(sampling=room), Comparison(sampling=room)):
        _, asked = found(question, Case(Side(TASK, "x"), Side(TASK, "y")), "?", "?")
        assert asked[0].sampling.max_tokens == 700


def test_a_judges_prompt_may_show_the_form_of_its_reply(tmp_path: Path) -> None:
    (tmp_path / "judging").mkdir()
    (tmp_path / "judging" / "difficulty_score.txt").write_text('{task}\nReply with {"score": N} or {rating}.')
    _, asked = found(score_question(tmp_path), Case(Side(Instruction("Count."))), "7")
    assert asked[0].text == 'Count.\nReply with {"score": N} or {rating}.'


def test_key_phrases_are_asked_of_methods_and_plan() -> None:
    trajectory = json.dumps({"methods": ["narrow the topic", "ask why"], "plan": "Both at once."})
    finding, asked = found(
        KeyPhrases(), Case(Side(TASK, trajectory)), "- Narrower Topic\n- ask for reasons\n- narrower topic"
    )
    assert isinstance(finding, Judged)
    assert finding.values == {"phrases": ["narrower topic", "ask for reasons"]}
    assert "- narrow the topic\n- ask why" in asked[0].text
    assert "Both at once." in asked[0].text


@pytest.mark.parametrize(
    ("reply", "phrases"),
    [
        ("1. add limits\n2) ask why", ["add limits", "ask why"]),
        ("Add limits, ask why; two-step proof", ["add limits", "ask why", "two-step proof"]),
        ("Here are the phrases:\nadd limits", ["add limits"]),
        ("That is not for me to say at all.", []),
    ],
)
def test_phrases_are_short_and_distinct(reply: str, phrases: list[str]) -> None:
    assert read_phrases(reply) == phrases


def test_what_cannot_be_read_keeps_the_reply() -> None:
    finding, _ = found(score_question(), Case(Side(TASK)), "No idea.")
    assert isinstance(finding, Rejected)
    assert (finding.reason, finding.text) == ("no_score", "No idea.")
    assert finding.usage.completion_tokens > 0


def test_a_refused_prompt_is_a_failure() -> None:
    finding, _ = found(label_question(), Case(Side(TASK)), refuse="pear")
    assert isinstance(finding, Failed)
    assert finding.error == "PromptRefused"


@pytest.mark.parametrize(
    ("replies", "verdict", "agreed"),
    [
        (("A", "B"), "win", True),
        (("B", "A"), "lose", True),
        (("TIE", "TIE"), "tie", True),
        (("A", "A"), "tie", False),  # always the first place
        (("A", "TIE"), "tie", False),
    ],
)
def test_both_orders_must_agree(replies: tuple[str, str], verdict: str, agreed: bool) -> None:
    finding, asked = found(Comparison(), Case(Side(TASK, "apple, pear"), Side(TASK, "pear, apple!")), *replies)
    assert isinstance(finding, Judged)
    assert (finding.values["verdict"], finding.values["agreed"]) == (verdict, agreed)
    assert finding.values["win_score"] == {"win": 1.0, "tie": 0.5, "lose": 0.0}[verdict]
    # exchanged, and the task shown once, for it is the same
    assert asked[0].text.index("apple, pear") < asked[0].text.index("pear, apple!")
    assert asked[1].text.index("pear, apple!") < asked[1].text.index("apple, pear")
    assert asked[0].text.count("Sort these words.") == 1


def test_different_tasks_are_compared_with_their_answers() -> None:
    other = Side(Instruction("Sort these words backwards."), "pear, apple")
    _, asked = found(Comparison(), Case(Side(TASK, "apple, pear"), other), "A", "B")
    assert "Sort these words.\n" in asked[0].text
    assert "Sort these words backwards." in asked[0].text


def test_one_order_without_a_verdict_rejects_the_case() -> None:
    finding, asked = found(Comparison(), Case(Side(TASK, "x"), Side(TASK, "y")), "A", "Both are fine.")
    assert isinstance(finding, Rejected)
    assert finding.reason == "no_verdict"
    assert finding.usage.prompt_tokens == sum(len(prompt.text) // 4 for prompt in asked)


def test_own_templates_replace_the_shipped_ones_and_change_the_fingerprint(tmp_path: Path) -> None:
    folder = tmp_path / "judging"
    folder.mkdir()
    (folder / "difficulty_label.txt").write_text("How hard is: {task}")
    own = label_question(tmp_path)
    _, asked = found(own, Case(Side(Instruction("Count."))), "easy")
    assert asked[0].text == "How hard is: Count."
    assert own.fingerprint() != label_question().fingerprint()
    assert len({label_question().fingerprint(), score_question().fingerprint(), Comparison().fingerprint()}) == 3
    (folder / "difficulty_label.txt").write_text("How hard is it?")
    with pytest.raises(TemplateError, match=r"difficulty_label\.txt: placeholder \{task\} is missing"):
        label_question(tmp_path)


def test_the_scripted_judge_answers_every_question_and_sometimes_none() -> None:
    engine = ScriptedEngine(Script(reply="judge"))
    case = Case(Side(TASK, "x"), Side(TASK, "y"))
    for question in (label_question(), score_question(), Comparison()):
        ends = {type(asyncio.run(drive(question.ask(case, Random(number)), engine))) for number in range(60)}
        assert ends == {Judged, Rejected}
