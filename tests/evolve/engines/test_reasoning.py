"""What a model thinks aloud and what it answers: found by marks, parted in texts, told by servers."""

from __future__ import annotations

import time
from typing import Any

import pytest

from evolve.engines.reasoning import parser_for, part_harmony
from evolve.errors import SettingError
from evolve.records import Completion, Prompt, Sampling
from evolve.thoughts import Parted, part_inline
from tests.evolve.engines.loopback import Answer, completion, loopback
from tests.evolve.engines.test_chat import ask


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        (None, None),
        ("{{ messages }}", None),
        ("{{ messages }}<think>\n", "qwen3"),
        ("{% if '</think>' in content %}", "qwen3"),
        ("<think> ... <answer>", "hunyuan_a13b"),
        ("<seed:think>", "seed_oss"),
        ("<|start|>assistant<|channel|>analysis", "openai_gptoss"),
        ("[THINK]", "mistral"),
    ],
)
def test_the_marks_in_a_template_tell_the_parser(template: str | None, parser: str | None) -> None:
    assert parser_for(template)[0] == parser


def test_a_template_that_plainly_thinks_without_a_parser_stops() -> None:
    with pytest.raises(SettingError, match=r"reasoning: .*◁think▷.*none"):
        parser_for("◁think▷{{ messages }}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris.", ("", "Paris.", True)),
        ("<think>Well.</think>\n\nParis.", ("Well.", "Paris.", True)),
        ("Well.</think>Paris.", ("Well.", "Paris.", True)),
        ("<think>Well", ("Well", "", False)),
        ("Use <think> as a tag.", ("", "Use <think> as a tag.", True)),
        ("Write <think>x</think>.", ("", "Write <think>x</think>.", True)),
        ("<think></think>Paris.", ("", "Paris.", True)),
        ("<think>One.</think>\n<think>Two.</think>Paris.", ("One.\nTwo.", "Paris.", True)),
        ("<think>One.</think><think>Two", ("One.\nTwo", "", False)),
        ("<think>In <think> tags.</think>Paris.", ("In <think> tags.", "Paris.", True)),
        ("<think>A <think>b</think> c</think>Paris.", ("A <think>b</think> c", "Paris.", True)),
        ("<THINKING>Well.</thinking>Paris.", ("Well.", "Paris.", True)),
        ("[THINK]Well.[/THINK]Paris.", ("Well.", "Paris.", True)),
        ("◁think▷Well.◁/think▷Paris.", ("Well.", "Paris.", True)),
        ("<|channel>thought\nWell.<channel|>Paris.", ("Well.", "Paris.", True)),
        ("<th\u0130nk>Well.</think>", ("<th\u0130nk>Well.", "", True)),
    ],
)
def test_thoughts_inline_before_an_answer(text: str, expected: tuple[str, str, bool]) -> None:
    parted = part_inline(text)
    assert (parted.reasoning, parted.answer, parted.ended) == expected


def test_a_reply_in_channels() -> None:
    thought = "<|channel|>analysis<|message|>They ask."
    final = "<|end|><|start|>assistant<|channel|>final<|message|>Paris."
    assert served(completion(content=thought + final)).reasoning == "They ask."
    parted = part_harmony(thought + final)
    assert (parted.reasoning, parted.answer, parted.ended) == ("They ask.", "Paris.", True)
    assert (thought + final)[parted.cut :] == "Paris."
    assert part_harmony(thought) == Parted("They ask.", "", ended=False, cut=len(thought))
    assert part_harmony("Paris.") == Parted("", "Paris.")


def test_a_tag_without_an_end_is_read_in_time() -> None:
    for endless in ("<think></think>" * 20_000, "<think><think></think>" * 20_000, "<think>" * 50_000):
        began = time.process_time()
        part_inline(endless)
        assert time.process_time() - began < 5


def served(answer: Answer) -> Completion:
    with loopback(lambda body: answer) as server:
        return ask(server.url, Prompt.user("Where?", Sampling(), 1))


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_server_tells_what_was_thought(name: str) -> None:
    counts = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16}
    told = {**counts, "completion_tokens_details": {"reasoning_tokens": 4}}
    reply = served(completion(usage=told, content="\n\nParis.", **{name: "Well.\n"}))
    assert (reply.text, reply.reasoning, reply.reasoning_ended) == ("Paris.", "Well.", True)
    assert (reply.completion_tokens, reply.reasoning_tokens) == (9, 4)
    uncounted = served(completion(usage=counts, content="Paris", **{name: "Lyon?"}))
    assert uncounted.reasoning_tokens == round(9 / 2)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_thoughts_of_a_server_without_an_answer_did_not_end(content: str | None) -> None:
    reply = served(completion("length", content=content, reasoning="Well"))
    assert (reply.text, reply.reasoning, reply.reasoning_ended, reply.reasoning_tokens) == ("", "Well", False, 5)


def test_a_server_that_leaves_thoughts_inline_is_read_too() -> None:
    reply = served(completion(content="<think>Well.</think>Paris."))
    assert (reply.text, reply.reasoning) == ("Paris.", "Well.")


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": None}])
def test_counts_that_a_server_leaves_out_are_zero(usage: dict[str, Any]) -> None:
    reply = served(completion(content="Paris.", usage=usage))
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("Paris.", 0, 0)


def test_a_server_gets_room_for_thoughts_beside_the_answer() -> None:
    with loopback(lambda body: completion(content="Paris.")) as server:
        ask(server.url, Prompt.user("Where?", Sampling(max_tokens=10), 1), reasoning_tokens=100)
    assert server.bodies[0]["max_tokens"] == 110
