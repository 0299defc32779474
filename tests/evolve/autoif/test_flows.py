"""The flows against the scripted engine: how often they ask, what they ask, and what they make of refusals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import TypeVar

from evolve.autoif.augment import augment
from evolve.autoif.back_translation import back_translate
from evolve.autoif.nli import judge
from evolve.autoif.quality import score_quality
from evolve.autoif.records import Case, Dropped, Quality
from evolve.autoif.responses import respond
from evolve.autoif.templates import Templates
from evolve.autoif.verification import write_verifications
from evolve.flow import Flow, drive
from evolve.records import Answer, Failed, Prompt, Rejected, Response, Sampling, Usage
from evolve.testing.scripted_engine import Script, ScriptedEngine

Outcome = TypeVar("Outcome")

TEMPLATES = Templates.load()
SAMPLING = Sampling()
FUNCTION = "def evaluate(response): return True"


class Scripted:
    """Runs a flow with one scripted reply to all prompts, and keeps what was asked."""

    def __init__(self, reply: str | Callable[[int], str] = "", script: Script | None = None) -> None:
        self.asked: list[Prompt] = []
        self._reply = reply
        self._engine = ScriptedEngine(script, self._answer)

    def _answer(self, prompt: Prompt) -> str:
        self.asked.append(prompt)
        return self._reply if isinstance(self._reply, str) else self._reply(len(self.asked) - 1)

    def run(self, flow: Flow[Outcome]) -> Outcome:
        return asyncio.run(drive(flow, self._engine))


REFUSING = Script(refuse_text="a")


def test_augment_shows_the_seeds_and_the_count() -> None:
    engine = Scripted("1. Use no vowels\n2. Write in rhyme")
    result = engine.run(augment(["Use {braces}", "Seed two"], 50, TEMPLATES.augment, SAMPLING, Random(0)))
    assert result.instructions == ("Use no vowels", "Write in rhyme")
    (prompt,) = engine.asked
    assert "Use {braces}\nSeed two" in prompt.text
    assert "50 new" in prompt.text
    assert result.usage.completion_tokens == 40


def test_a_cut_reply_loses_its_last_instruction() -> None:
    engine = Scripted("Use no vowels\nWrite in rhy", Script(median_tokens=9))
    result = engine.run(augment(["x"], 2, TEMPLATES.augment, Sampling(max_tokens=8), Random(0)))
    assert (result.instructions, [item.reason for item in result.dropped]) == (("Use no vowels",), ["truncated"])


def test_verifications_keep_good_replies_and_tell_of_the_others() -> None:
    good = json.dumps({"func": FUNCTION, "cases": [{"input": "x", "output": "true"}]})
    engine = Scripted(lambda place: good if place % 2 else "Sorry")
    result = engine.run(write_verifications("Use no vowels", 8, TEMPLATES.verify, SAMPLING, Random(0)))
    assert len(engine.asked) == 8
    assert len({prompt.seed for prompt in engine.asked}) == 8
    assert all("Use no vowels" in prompt.text for prompt in engine.asked)
    assert [verification.cases for verification in result.verifications] == [(Case("x", True),)] * 4
    assert [item.reason for item in result.dropped] == ["no_json"] * 4
    assert result.usage.completion_tokens == 8 * 40


def test_up_to_three_functions_are_translated_back() -> None:
    functions = [f"{FUNCTION}  # {number}" for number in range(5)]
    engine = Scripted(lambda place: "" if place == 1 else "Say anything.")
    result = engine.run(back_translate(functions, 3, TEMPLATES.back_translate, SAMPLING, Random(0)))
    assert len({prompt.text for prompt in engine.asked}) == 3
    assert result.instructions == ("Say anything.", "Say anything.")
    assert [item.reason for item in result.dropped] == ["empty"]


def test_the_judges_see_what_they_judge() -> None:
    engine = Scripted("Contradiction")
    label, usage = engine.run(judge("Use no vowels", "Use vowels", TEMPLATES.nli, Random(0)))
    assert (label, usage.completion_tokens) == ("contradiction", 8)
    assert "Use no vowels" in engine.asked[0].text
    assert "Use vowels" in engine.asked[0].text
    engine = Scripted("Score: 9")
    score, _ = engine.run(score_quality("Use no vowels", "Why?", "Hm", TEMPLATES.quality, Random(0)))
    assert score == Quality(9)
    assert all(part in engine.asked[0].text for part in ("Use no vowels", "Why?", "Hm"))
    assert engine.asked[0].sampling.temperature == 0


def test_unreadable_judgements_fall() -> None:
    label, _ = Scripted("Hm").run(judge("x", "y", TEMPLATES.nli, Random(0)))
    score, _ = Scripted("Hm").run(score_quality("x", "y", "z", TEMPLATES.quality, Random(0)))
    assert label == Dropped("nli", "back_translation", "no_label", "Hm")
    assert score == Dropped("quality", "response", "no_score", "Hm")


def test_responses_that_are_empty_or_cut_off_are_rejected() -> None:
    replies = {reply: Scripted(reply).run(_respond()) for reply in (" one ", "  ")}
    assert replies[" one "] == Response("one", "stop", Usage(replies[" one "].usage.prompt_tokens, 40))
    assert isinstance(replies["  "], Rejected)
    assert replies["  "].reason == "empty_response"
    cut = Scripted("one", Script(median_tokens=9)).run(_respond(Sampling(max_tokens=8)))
    assert isinstance(cut, Rejected)
    assert (cut.reason, cut.text, cut.usage.completion_tokens) == ("truncated", "one", 8)


def test_a_response_that_is_cut_off_may_be_kept() -> None:
    short, script = Sampling(max_tokens=8), Script(median_tokens=9)
    kept = Scripted("one", script).run(_respond(short, keep_truncated=True))
    assert isinstance(kept, Response)
    assert (kept.text, kept.finish_reason) == ("one", "length")
    empty = Scripted(" ", script).run(_respond(short, keep_truncated=True))
    assert isinstance(empty, Rejected)
    assert empty.reason == "empty_response"


def _respond(sampling: Sampling = SAMPLING, keep_truncated: bool = False) -> Flow[Answer]:
    return respond("Use no vowels", "Why?", TEMPLATES.respond, sampling, Random(0), keep_truncated)


def test_refused_prompts_fall_and_end_nothing() -> None:
    engine = Scripted("x", REFUSING)
    replies = engine.run(write_verifications("a", 2, TEMPLATES.verify, SAMPLING, Random(0)))
    answer = engine.run(respond("a", "b", TEMPLATES.respond, SAMPLING, Random(0)))
    described = engine.run(back_translate(["a"], 3, TEMPLATES.back_translate, SAMPLING, Random(0)))
    more = engine.run(augment(["a"], 3, TEMPLATES.augment, SAMPLING, Random(0)))
    label, _ = engine.run(judge("a", "b", TEMPLATES.nli, Random(0)))
    score, _ = engine.run(score_quality("a", "b", "c", TEMPLATES.quality, Random(0)))
    dropped = [*replies.dropped, *described.dropped, *more.dropped, label, score]
    assert [item.reason for item in dropped if isinstance(item, Dropped)] == ["refused"] * 6
    assert isinstance(answer, Failed)
    assert answer.error == "PromptRefused"
    assert engine.asked == []
