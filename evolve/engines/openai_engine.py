"""The engine that talks to an OpenAI-compatible HTTP server, for people who run servers of their own."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from evolve.confidence import Confidence
from evolve.engines.chat import Chat
from evolve.engines.http_server import Gone, HttpServer, Refused
from evolve.engines.reasoning import Parted, part_inline
from evolve.errors import EngineDied, PromptRefused, SettingsRefused
from evolve.records import Completion, Form, Prompt

PATH = "/chat/completions"
_OF_THE_PROMPT = frozenset({400, 413, 422})
"""What a server answers when it will never take this prompt."""
_OF_THE_CONFIGURATION = {401: "api_key_env", 403: "api_key_env", 404: "url"}
"""What it answers to every prompt, and the setting that is at fault."""


class _Details(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    # servers leave counts out, or send null for them
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _Details | None = None


class _Likely(msgspec.Struct):
    logprob: float


class _Token(msgspec.Struct):
    logprob: float
    top_logprobs: list[_Likely] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Reply(msgspec.Struct):
    """What is read of a server's reply."""

    choices: list[_Choice]
    usage: _Usage | None = None


_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(_Reply)


class OpenAIEngine:
    """Completes prompts through `/chat/completions` at `url`, a server's base such as http://127.0.0.1:8000/v1.

    The key is read from the environment variable `key_variable`, so that it stands in no configuration. A user and
    password in `url` go into the header of each request, a query into its address; no message shows them.
    Requests that fail for the server's reasons are repeated `retries` times, with growing pauses or as it asks; a
    server that stays away after that raises EngineDied. `timeout` is in seconds a request. No more than
    `max_concurrency` requests are under way, fewer while the server says that it is busy.

    What a model thinks aloud is the server's `reasoning` or `reasoning_content`, or what stands in <think> tags before
    the answer; with `parted` off everything in the content is the answer. `reasoning_tokens` are added to each prompt's
    limit, since servers bound thoughts and answer together.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key_variable: str,
        timeout: float,
        retries: int,
        chat: Chat | None = None,
        parted: bool = True,
        reasoning_tokens: int = 0,
        max_concurrency: int = 256,
    ) -> None:
        self._model, self._chat = model, chat or Chat()
        self._parted, self._reasoning_tokens = parted, reasoning_tokens
        self._answered = False
        self._server = HttpServer(url, os.environ.get(key_variable, "none"), timeout, retries, max_concurrency)

    @property
    def max_concurrency(self) -> int:
        """How many requests are under way at the most."""
        return self._server.pace.most

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`."""
        extra = _beyond(prompt, self._chat)
        try:
            content = await self._server.post(PATH, _encoder.encode(self._request(prompt) | extra))
        except UnicodeError as refused:
            raise PromptRefused(f"the prompt is no Unicode: {refused}") from refused
        except Refused as refused:
            self._blame_settings(refused, prompt, extra)
            if refused.status in _OF_THE_PROMPT:
                raise PromptRefused(f"the server refuses the prompt: {refused}") from refused
            raise EngineDied(f"the server at {self._server.base} refuses: {refused}") from refused
        except Gone as gone:
            raise EngineDied(f"the server at {self._server.base} does not answer: {gone}") from gone
        reply = self._read(content)
        self._answered = True
        return self._completion(reply)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        """OpenAI's own fields, as far as they say anything."""
        sampling, measured = prompt.sampling, prompt.measure_confidence
        fields = {
            "model": self._model,
            "messages": self._chat.turns(prompt.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty or None,
            "max_tokens": sampling.max_tokens + self._reasoning_tokens,
            "stop": list(sampling.stop) or None,
            "seed": prompt.seed,
            "logprobs": measured or None,
            "top_logprobs": 1 if measured else None,
            "response_format": _response_format(prompt.form),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _read(self, content: bytes) -> _Reply:
        """The reply. One that is none is the prompt's fault where the server has given others before."""
        try:
            try:
                reply = _decoder.decode(content)
            except msgspec.DecodeError:
                # halves of surrogate pairs, which some servers send, are no JSON to everybody
                reply = msgspec.convert(json.loads(content), _Reply)
        except ValueError as error:
            blame = PromptRefused if self._answered else EngineDied
            raise blame(f"the server at {self._server.base} answers something else: {error}") from error
        if not reply.choices:
            raise PromptRefused("the server gives no reply to the prompt")
        return reply

    def _blame_settings(self, refused: Refused, prompt: Prompt, extra: Mapping[str, Any]) -> None:
        """Raise SettingsRefused where a server that has answered nothing yet refuses all, or a field not all know."""
        name = _OF_THE_CONFIGURATION.get(refused.status)
        if name == "url" and self._model in str(refused):
            name = "model"
        if name and not self._answered:
            raise SettingsRefused(f"{name}: the server at {self._server.base} refuses: {refused}") from refused
        fields = [*extra, *(["presence_penalty"] if prompt.sampling.presence_penalty else [])]
        fields += ["logprobs"] if prompt.measure_confidence else []
        fields += ["response_format"] if prompt.form else []
        for name in fields if not self._answered else ():
            if name in str(refused):
                raise SettingsRefused(f"{name}: the server at {self._server.base} refuses it: {refused}") from refused

    def _completion(self, reply: _Reply) -> Completion:
        choice, usage = reply.choices[0], reply.usage
        parted = _parted(choice) if self._parted else Parted("", choice.message.content or "")
        written = (usage.completion_tokens or 0) if usage else 0
        thought, tops = _reasoning_tokens(reply, parted, written), _tops(choice)
        return Completion(
            text=parted.answer,
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            prompt_tokens=(usage.prompt_tokens or 0) if usage else 0,
            completion_tokens=written,
            # some servers tell the probabilities of the answer's tokens alone
            confidence=Confidence.of(tops[thought:] if len(tops) == written else tops),
            reasoning=parted.reasoning,
            reasoning_tokens=thought,
            reasoning_ended=parted.ended,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def _parted(choice: _Choice) -> Parted:
    """What a server says was thought and answered; where it tells no thoughts, those inline before the answer.

    Thoughts without an answer did not end.
    """
    message, answer = choice.message, choice.message.content or ""
    reasoning = message.reasoning or message.reasoning_content
    if not isinstance(reasoning, str) or not reasoning.strip():
        return part_inline(answer)
    return Parted(reasoning.strip(), answer.strip(), ended=bool(answer.strip()))


def _reasoning_tokens(reply: _Reply, parted: Parted, written: int) -> int:
    """The server's count; where it has none, the thoughts' share of the characters."""
    details = reply.usage.completion_tokens_details if reply.usage else None
    if details and details.reasoning_tokens:
        return min(details.reasoning_tokens, written)
    thought, answered = len(parted.reasoning), len(parted.answer)
    return round(written * thought / (thought + answered)) if thought else 0


def _response_format(form: Form | None) -> dict[str, Any] | None:
    """A JSON schema as OpenAI's own field has it."""
    if form is None or not form.schema:
        return None
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": json.loads(form.schema), "strict": True}}


def _beyond(prompt: Prompt, chat: Chat) -> dict[str, Any]:
    """What servers such as vLLM's take beside OpenAI's fields, as far as it says anything."""
    sampling, form, structured = prompt.sampling, prompt.form, dict[str, Any]()
    if form and not form.schema:
        structured = {"choice": list(form.choices)} if form.choices else {"regex": form.pattern}
    fields = {
        "structured_outputs": structured or None,
        "chat_template_kwargs": dict(chat.arguments) or None,
        "chat_template": chat.template,
        "top_k": sampling.top_k or None,
        "min_p": sampling.min_p or None,
        "repetition_penalty": None if sampling.repetition_penalty == 1 else sampling.repetition_penalty,
    }
    return {name: value for name, value in fields.items() if value is not None} | dict(sampling.extra)


def _tops(choice: _Choice) -> list[float]:
    """The probability of each position's most likely token; empty where the server tells none."""
    if choice.logprobs is None or not choice.logprobs.content:
        return []
    return [
        math.exp(max([t.logprob, *(other.logprob for other in t.top_logprobs or ())])) for t in choice.logprobs.content
    ]
