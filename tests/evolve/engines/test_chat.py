"""Conversations on their way to a model: system prompts, chat templates, and arguments that nobody reads."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evolve.engines.chat import Chat, found_template, variables
from evolve.engines.openai_engine import OpenAIEngine
from evolve.errors import PromptRefused, SettingError, SettingsRefused
from evolve.records import Completion, Form, Message, Prompt, Sampling
from tests.evolve.engines.loopback import completion, loopback

THINKING = """{%- for message in messages %}{{ message.role }}: {{ message.content }}{%- endfor %}
{%- if enable_thinking is defined and not enable_thinking %}<think></think>{%- endif %}"""
ASKED = (Message("user", "Count."),)


def ask(url: str, prompt: Prompt, chat: Chat | None = None, reasoning_tokens: int = 0) -> Completion:
    async def main() -> Completion:
        engine = OpenAIEngine(url, "m", "NO_SUCH_KEY", 20, 0, chat, reasoning_tokens=reasoning_tokens)
        try:
            return await engine.generate(prompt)
        finally:
            await engine.close()

    return asyncio.run(main())


def test_the_engines_system_prompt_goes_before_a_conversation_without_one() -> None:
    chat = Chat(system="Be short.")
    assert chat.turns(ASKED) == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Count."}]
    own = (Message("system", "Be long."), *ASKED)
    assert [turn["content"] for turn in chat.turns(own)] == ["Be long.", "Count."]
    assert Chat().turns(ASKED) == [{"role": "user", "content": "Count."}]


def test_what_a_template_reads() -> None:
    assert variables(THINKING) == {"messages", "enable_thinking"}
    assert variables("{% for m in messages %}{% generation %}{{ m }}{% endgeneration %}{% endfor %}") == {"messages"}
    with pytest.raises(SettingError, match="chat_template: line 1: is no Jinja template"):
        variables("{% if %}")


def test_an_argument_that_the_template_does_not_read_is_refused() -> None:
    Chat(arguments={"enable_thinking": False}).check(THINKING)
    with pytest.raises(SettingError, match=r"template_arguments\.enable_thinkin: .*did you mean enable_thinking\?"):
        Chat(arguments={"enable_thinkin": False}).check(THINKING)
    with pytest.raises(SettingError, match=r"template_arguments\.messages"):
        Chat(arguments={"messages": []}).check(THINKING)
    Chat(arguments={"mine": 1}, template="{{ messages }}{{ mine }}").check(THINKING)


def test_a_model_without_a_template_takes_no_system_prompt_and_no_arguments() -> None:
    Chat().check(None)
    with pytest.raises(SettingError, match="system: the model has no chat template"):
        Chat(system="Be short.").check(None)
    with pytest.raises(SettingError, match="template_arguments: the model has no chat template"):
        Chat(arguments={"a": 1}).check(None)
    Chat(system="Be short.", template=THINKING).check(None)


def test_the_template_is_found_wherever_a_model_keeps_it(tmp_path: Path) -> None:
    assert found_template(str(tmp_path)) == (False, None)
    assert found_template("nobody/no-such-model") == (False, None)
    (tmp_path / "config.json").write_text("{}")
    assert found_template(str(tmp_path)) == (True, None)
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert found_template(str(tmp_path)) == (True, "d")
    (tmp_path / "chat_template.jinja").write_text(THINKING)
    assert found_template(str(tmp_path)) == (True, THINKING)


def test_a_server_gets_the_conversation_and_what_fills_in_its_template() -> None:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return completion(content=f"{len(body['messages'])} turns")

    with loopback(answer) as server:
        prompt = Prompt.user("Count.", Sampling(), 1)
        assert ask(server.url, prompt).text == "1 turns"
        chat = Chat("Be short.", {"enable_thinking": False}, THINKING)
        assert ask(server.url, prompt, chat).text == "2 turns"
    plain, full = server.bodies
    assert not {"chat_template_kwargs", "chat_template"} & plain.keys()
    assert full["messages"][0] == {"role": "system", "content": "Be short."}
    assert full["chat_template_kwargs"] == {"enable_thinking": False}
    assert full["chat_template"] == THINKING


def test_a_server_is_told_only_what_the_sampling_says() -> None:
    with loopback(lambda body: completion(content="1")) as server:
        ask(server.url, Prompt.user("Count.", Sampling(), 1))
        own = Sampling(None, None, 8, (), 20, 0.1, 1.1, 0.5, {"min_tokens": 3})
        ask(server.url, Prompt.user("Count.", own, 1))
        ask(server.url, Prompt.user("Count.", Sampling(top_k=None, min_p=None, repetition_penalty=None), 1))
    plain, full, model = server.bodies
    assert plain.keys() == model.keys() == {"messages", "model", "temperature", "top_p", "max_tokens", "seed"}
    assert not {"temperature", "top_p"} & full.keys()
    told = {"top_k": 20, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 0.5, "min_tokens": 3}
    assert told.items() <= full.items()


def test_a_server_that_refuses_a_setting_takes_no_prompt() -> None:
    def refusing(message: str, prompt: Prompt) -> None:
        with loopback(lambda body: (400, {"error": {"message": message, "code": 400}})) as server:
            ask(server.url, prompt)

    top_k = "Unrecognized request argument supplied: top_k"
    with pytest.raises(SettingsRefused, match=r"top_k: the server at .* refuses"):
        refusing(top_k, Prompt.user("Count.", Sampling(top_k=20), 1))
    with pytest.raises(PromptRefused):
        refusing(top_k, Prompt.user("Count.", Sampling(), 1))


@pytest.mark.parametrize(("status", "field"), [(401, "api_key_env"), (403, "api_key_env"), (404, "url"), (405, "url")])
def test_a_server_that_refuses_whatever_it_is_asked_is_told_by_the_setting(status: int, field: str) -> None:
    with (
        loopback(lambda body: (status, {"error": {"message": "no"}})) as server,
        pytest.raises(SettingsRefused, match=f"^{field}: the server at .* refuses: {status}: no"),
    ):
        ask(server.url, Prompt.user("Count.", Sampling(), 1))
    # 403 is a word for one prompt as well, unless the plainest one gets it too
    assert len(server.bodies) == (2 if status == 403 else 1)


@pytest.mark.parametrize("body", [{"choices": []}, {"choices": [{"message": {}}], "usage": None}])
def test_an_answer_without_text_is_no_error_of_the_engine(body: dict[str, Any]) -> None:
    with loopback(lambda _: (200, body)) as server:
        if body["choices"]:
            assert ask(server.url, Prompt.user("Count.", Sampling(), 1)).text == ""
        else:
            with pytest.raises(PromptRefused, match="no reply"):
                ask(server.url, Prompt.user("Count.", Sampling(), 1))


def test_halves_of_surrogate_pairs_in_an_answer_are_read() -> None:
    with loopback(lambda _: completion(content="half \ud83d")) as server:
        assert ask(server.url, Prompt.user("Count.", Sampling(), 1)).text == "half \ud83d"


def test_a_server_gets_a_form_as_its_own_fields_have_it() -> None:
    schema = json.dumps({"type": "object"})
    forms = [Form(choices=("A", "B")), Form(pattern="[0-9]"), Form(schema=schema)]
    with loopback(lambda body: completion(content="A")) as server:
        for form in forms:
            ask(server.url, replace(Prompt.user("Which?", Sampling(), 1), form=form))
    choice, pattern, json_schema = server.bodies
    assert choice["structured_outputs"] == {"choice": ["A", "B"]}
    assert pattern["structured_outputs"] == {"regex": "[0-9]"}
    assert json_schema["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "structured_outputs" not in json_schema
