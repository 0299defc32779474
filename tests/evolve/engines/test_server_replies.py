"""What servers answer beside good replies, and whose fault each is: the prompt's, the server's, the configuration's."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import Any

import pytest

from evolve.engines.http_server import Odd
from evolve.engines.openai_engine import OpenAIEngine
from evolve.engines.openai_reply import parted, read_reply
from evolve.engines.reply_text import clean, finish
from evolve.errors import EngineDied, PromptRefused, ReplyWithheld, SettingsRefused
from evolve.records import Completion, Prompt, Sampling
from tests.evolve.engines.loopback import Answer, completion, loopback

GOOD = "Name a river and its source."


def asked(url: str, *texts: str, measured: bool = False) -> list[Completion | BaseException]:
    """What the engine makes of prompts, one after the other."""

    async def main() -> list[Completion | BaseException]:
        engine = OpenAIEngine(url, "m", "NO_SUCH_KEY", 5, 0)
        try:
            return [(await asyncio.gather(engine.generate(prompt(text)), return_exceptions=True))[0] for text in texts]
        finally:
            await engine.close()

    def prompt(text: str) -> Prompt:
        return Prompt.user(text, Sampling(), 1, measure_confidence=measured)

    return asyncio.run(main())


def one(answer: Answer, measured: bool = False) -> Completion | BaseException:
    with loopback(lambda _: answer) as server:
        return asked(server.url, "Count.", measured=measured)[0]


def with_choice(**fields: Any) -> Answer:
    status, body = completion(content=GOOD)
    body["choices"][0] |= fields
    return status, body


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        *[(word, "stop") for word in ("stop", None, "", "STOP", "eos_token", "stop_sequence", "end_turn")],
        *[(word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "model_length")],
        *[(word, word) for word in ("content_filter", "tool_calls", "abort", "recitation")],
        ("function_call", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("odd word {", "unknown_finish_reason"),
    ],
)
def test_a_reply_ends_finished_cut_or_withheld(reason: str | None, outcome: str) -> None:
    if outcome in ("stop", "length"):
        assert finish(reason) == outcome
        return
    with pytest.raises(ReplyWithheld, match="ended with") as raised:
        finish(reason)
    assert raised.value.reason == outcome


def test_a_reply_that_a_filter_has_cut_is_no_completion() -> None:
    found = one(completion("content_filter", content="Name a riv"))
    assert isinstance(found, ReplyWithheld)
    assert found.reason == "content_filter"
    for message in (
        {"content": None, "refusal": "I cannot."},
        {"content": [{"type": "refusal", "refusal": "I cannot."}]},
    ):
        refused = one(completion(**message))
        assert isinstance(refused, ReplyWithheld)
        assert (refused.reason, "I cannot." in str(refused)) == ("model_refusal", True)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"completion_tokens": None},
        {"prompt_tokens": 3},
        *[{"completion_tokens": odd} for odd in ("12", -9, 10**19, 1e400)],
        ["odd"],
        "odd",
    ],
)
def test_counts_that_are_missing_or_odd_cost_no_reply(usage: Any) -> None:
    found = one(completion(content=GOOD, usage=usage))
    assert isinstance(found, Completion)
    assert (found.text, found.completion_tokens) == (GOOD, 0)


@pytest.mark.parametrize(
    "tops", [{}, {"top_logprobs": []}, {"top_logprobs": None}, {"top_logprobs": [{"logprob": None}]}]
)
def test_a_position_without_others_is_measured_by_its_own_token(tops: dict[str, Any]) -> None:
    found = one(with_choice(logprobs={"content": [{"token": "a", "logprob": -0.1, **tops}]}), measured=True)
    assert isinstance(found, Completion)
    assert found.mean_top1_prob == pytest.approx(0.905, abs=0.01)


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": [{"token": "a"}]}, [], "odd"])
def test_probabilities_that_are_no_numbers_are_not_measured(logprobs: Any) -> None:
    found = one(with_choice(logprobs=logprobs), measured=True)
    assert isinstance(found, Completion)
    assert (found.text, found.mean_top1_prob) == (GOOD, None)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "Name a river"}, {"type": "image_url"}, " and its source."],
        [{"type": "text", "text": {"value": GOOD}}],
        {"text": GOOD},
        [{"type": "thinking", "thinking": [{"type": "text", "text": "Well."}]}, {"type": "text", "text": GOOD}],
        [{"type": "reasoning", "text": "Well."}, {"type": "text", "text": GOOD}],
    ],
)
def test_content_as_parts_is_read(content: Any) -> None:
    found = one(completion(content=content))
    assert isinstance(found, Completion)
    assert (found.text, found.reasoning) == (GOOD, "Well." if "Well." in str(content) else "")


@pytest.mark.parametrize("choice", [{"message": GOOD}, {"message": None, "delta": {"content": GOOD}}])
def test_a_message_under_another_form_is_read(choice: dict[str, Any]) -> None:
    assert parted(read_reply(json.dumps({"choices": [{"finish_reason": "stop", **choice}]}).encode()).choices[0]).answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Name\0 a\0 river.", "Name a river."),
        ("A river.<|im_end|>", "A river."),
        ("A river. <|eot_id|>\n<|im_end|>\n", "A river."),
        ("A river.</s>", "A river."),
        ("A river.<|im_end|>\n<|im_start|>assistant\n", "A river."),
        ("<|im_start|>assistant\nA river.", "A river."),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nA river.<|eot_id|>", "A river."),
        ("Strike <s>this</s>", "Strike <s>this</s>"),
        ("What does <|im_end|> mean?", "What does <|im_end|> mean?"),
    ],
)
def test_what_is_no_answer_is_taken_from_the_text(text: str, answer: str) -> None:
    assert clean(text) == answer
    found = one(completion(content=text))
    assert isinstance(found, Completion)
    assert found.text == answer


def test_end_tokens_without_an_end_are_looked_at_in_time() -> None:
    endless = "<|im_end|> " * 50_000
    began = time.process_time()
    assert clean(f"{endless}x") == f"{endless}x"
    assert clean(f"x {endless}") == "x"
    assert time.process_time() - began < 5


def test_an_error_in_the_place_of_a_reply_is_the_servers_own_word() -> None:
    down = 200, {"error": {"message": "Provider returned error", "code": 502}}
    found = one(down)
    assert isinstance(found, EngineDied)
    assert "Provider returned error" in str(found)
    status, body = completion(content="")
    body["choices"][0]["error"] = {"message": "Upstream is down"}
    assert "Upstream is down" in str(one((status, body)))
    assert isinstance(one((200, {"object": "error", "message": "too long", "code": 400})), PromptRefused)
    assert "429: slowly" in str(one((200, {"error": {"message": "slowly", "type": "rate_limit_error"}})))
    filtered = one((200, {"error": {"message": "The policy forbids it", "code": 403}}))
    assert isinstance(filtered, SettingsRefused)  # the plainest prompt gets it too


def test_a_page_is_named_with_the_url_and_costs_one_prompt_where_others_are_answered() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        # JSON, but no object, as a page is none
        return (200, "<html>502 Bad Gateway</html>") if "odd" in str(body) else completion(content=GOOD)  # type: ignore[return-value]

    with loopback(answer) as server:
        first, *_ = asked(server.url, "odd")
        good, later = asked(server.url, "plain", "odd")
        assert isinstance(good, Completion)
    assert isinstance(first, EngineDied)
    assert server.url in str(first)
    assert "Bad Gateway" in str(first)
    assert isinstance(later, PromptRefused)


def test_a_page_that_is_no_json_is_an_error_of_its_own() -> None:
    with pytest.raises(Exception, match="expected JSON, got <html>"):
        read_reply(b"<html>\n 502 </html>")
    assert parted(read_reply(b'{"choices": [{"text": "old form"}]}').choices[0]).answer == "old form"


@pytest.mark.parametrize("content", [b"\xe9{}", b"[" * 100_000, b'{"detail": "Not Found"}', b'{"choices": [{"me'])
def test_what_is_no_reply_is_a_page(content: bytes) -> None:
    with pytest.raises(Odd, match="expected") as odd:
        read_reply(content)
    assert odd.value.page


def test_line_breaks_in_texts_are_read_as_they_are() -> None:
    assert read_reply(b'{"choices": [{"message": {"content": "one\ntwo"}}]}').choices[0].message.content == "one\ntwo"


BROKEN = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nhalf",
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf",
    b"",
)


@pytest.mark.parametrize("broken", BROKEN)
def test_an_answer_that_breaks_off_for_one_prompt_alone_fails_that_one(broken: bytes) -> None:
    with loopback(lambda body: broken if "BOMB" in str(body) else completion(content=GOOD)) as server:
        good, bomb = asked(server.url, "plain", "BOMB")
        assert isinstance(asked(server.url, "BOMB")[0], EngineDied)
    assert isinstance(good, Completion)
    assert isinstance(bomb, PromptRefused)


def moved(status: int, to: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (moved(301, "/v1/else"), "url: .*301: it has moved to http"),
        (moved(308, "/v1/chat/completions"), "url: .*in a circle"),
        ((407, {}), "url"),
        ((511, {}), "url"),
        ((404, {"error": {"message": "<html lang=en>no many things"}}), "url"),
        ((404, {"error": {"message": "no model 'm'"}}), "model"),
    ],
)
def test_what_the_server_does_to_every_prompt_is_the_configurations(answer: Answer, message: str) -> None:
    found = one(answer)
    assert isinstance(found, SettingsRefused)
    assert re.match(message, str(found))


def test_a_filter_that_sends_one_prompt_elsewhere_fails_that_one() -> None:
    with loopback(lambda body: moved(302, "/blocked") if "BOMB" in str(body) else completion(content=GOOD)) as server:
        assert isinstance(asked(server.url, "BOMB")[0], PromptRefused)


def test_a_server_that_does_not_encrypt_is_the_configurations() -> None:
    with loopback(lambda _: completion(content=GOOD)) as server:
        found = asked(server.url.replace("http:", "https:"), "Count.")[0]
    assert isinstance(found, SettingsRefused)
    assert str(found).startswith("url: ")


@pytest.mark.parametrize("status", [400, 403, 413, 422, 451])
def test_what_a_server_says_of_one_prompt_fails_that_one(status: int) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return (status, {"error": {"message": "blocked"}}) if "BOMB" in str(body) else completion(content=GOOD)

    with loopback(answer) as server:
        bomb, good, again = asked(server.url, "BOMB", "plain", "BOMB")
    assert isinstance(good, Completion)
    for found in (bomb, again):
        assert isinstance(found, PromptRefused)
        assert "blocked" in str(found)


def test_a_server_that_fails_for_one_prompt_alone_lives() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return (500, {"error": {"message": "oops"}}) if "BOMB" in str(body) else completion(content=GOOD)

    with loopback(answer) as server:
        good, bomb = asked(server.url, "plain", "BOMB")
    assert isinstance(good, Completion)
    assert isinstance(bomb, PromptRefused)
    assert isinstance(one((500, {"error": {"message": "oops"}})), EngineDied)


@pytest.mark.parametrize("status", [401, 404])
def test_a_key_or_model_that_is_gone_later_is_the_configurations(status: int) -> None:
    answers = iter([completion(content=GOOD), (status, {"error": {"message": "gone"}})])
    with loopback(lambda _: next(answers)) as server:
        good, later = asked(server.url, "one", "two")
    assert isinstance(good, Completion)
    assert isinstance(later, SettingsRefused)


def test_nobody_pays() -> None:
    found = one((429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}))
    assert isinstance(found, SettingsRefused)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("logprobs", "logprobs is not supported with this model"),
        ("seed", "Unrecognized request argument supplied: seed"),
        ("max_tokens", "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
    ],
)
def test_a_field_that_a_server_does_not_know_is_left_out_and_said_once(
    field: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return (400, {"error": {"message": message}}) if field in body else completion(content=GOOD)

    with caplog.at_level(logging.WARNING), loopback(answer) as server:
        assert all(isinstance(found, Completion) for found in asked(server.url, "one", "two", measured=True))
    assert len(server.bodies) == 3
    assert ("max_completion_tokens" in server.bodies[-1]) == (field == "max_tokens")
    told = [record for record in caplog.records if field in record.getMessage()]
    assert len(told) == 1


def test_a_limit_that_is_too_large_is_no_field_that_is_not_known() -> None:
    found = one((400, {"error": {"message": "max_tokens is too large: 9000. This model supports at most 4096"}}))
    assert isinstance(found, PromptRefused)
