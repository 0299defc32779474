"""The engine that talks to an OpenAI-compatible HTTP server, for people who run servers of their own."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from openai.types.chat.chat_completion import Choice
from openai.types.shared_params import ResponseFormatJSONSchema

from evolve.confidence import Confidence
from evolve.engines.chat import Chat
from evolve.engines.reasoning import Parted, part_inline
from evolve.errors import EngineDied, PromptRefused, SettingsRefused
from evolve.records import Completion, Form, Prompt

# What a server answers when it will never take this prompt, however often it is asked.
_REFUSALS = (openai.BadRequestError, openai.UnprocessableEntityError)


class OpenAIEngine:
    """Completes prompts through `/chat/completions` at `url`, a server's base such as http://127.0.0.1:8000/v1.

    The key is read from the environment variable `key_variable`, so that it stands in no configuration. A user and
    password in `url` go into the header of each request, a query into its address; no message shows them.
    The client repeats requests that fail for the server's reasons `retries` times, with growing pauses;
    a server that stays away after that raises EngineDied. `timeout` is in seconds a request.

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
    ) -> None:
        self._model, self._chat = model, chat or Chat()
        self._parted, self._reasoning_tokens = parted, reasoning_tokens
        base, login, query = _split(url)
        self._answered = False
        # the client beneath logs a line a request, with its whole address
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        self._client = openai.AsyncOpenAI(
            base_url=base,
            default_query=query,
            http_client=openai.DefaultAsyncHttpxClient(auth=login),
            api_key=os.environ.get(key_variable, "none"),
            timeout=timeout,
            max_retries=retries,
        )

    @property
    def max_concurrency(self) -> None:
        """Servers do not tell."""
        return None

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`."""
        sampling, extra = prompt.sampling, _beyond(prompt, self._chat)
        try:
            reply = await self._client.chat.completions.create(
                model=self._model,
                messages=cast("list[ChatCompletionMessageParam]", self._chat.turns(prompt.messages)),
                temperature=openai.omit if sampling.temperature is None else sampling.temperature,
                top_p=openai.omit if sampling.top_p is None else sampling.top_p,
                presence_penalty=sampling.presence_penalty or openai.omit,
                max_tokens=sampling.max_tokens + self._reasoning_tokens,
                stop=list(sampling.stop) or openai.omit,
                seed=prompt.seed,
                logprobs=True if prompt.measure_confidence else openai.omit,
                top_logprobs=1 if prompt.measure_confidence else openai.omit,
                response_format=_response_format(prompt.form),
                extra_body=extra or None,
            )
        except (*_REFUSALS, UnicodeError) as refused:
            self._blame_settings(refused, prompt, extra)
            raise PromptRefused(f"the server refuses the prompt: {refused}") from refused
        except openai.OpenAIError as gone:
            raise EngineDied(f"the server at {self._client.base_url} does not answer: {gone}") from gone
        self._answered = True
        return self._completion(reply)

    def _blame_settings(self, refused: Exception, prompt: Prompt, extra: Mapping[str, Any]) -> None:
        """Raise SettingsRefused where a server that has answered nothing yet names a field that not all know."""
        fields = [*extra, *(["presence_penalty"] if prompt.sampling.presence_penalty else [])]
        fields += ["logprobs"] if prompt.measure_confidence else []
        fields += ["response_format"] if prompt.form else []
        for name in fields if not self._answered else ():
            if name in str(refused):
                raise SettingsRefused(
                    f"{name}: the server at {self._client.base_url} refuses it: {refused}"
                ) from refused

    def _completion(self, reply: ChatCompletion) -> Completion:
        choice, usage = reply.choices[0], reply.usage
        parted = _parted(choice) if self._parted else Parted("", choice.message.content or "")
        # servers leave counts out, or send null for them
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
        await self._client.close()


def _parted(choice: Choice) -> Parted:
    """What a server says was thought and answered; where it tells no thoughts, those inline before the answer.

    Thoughts without an answer did not end.
    """
    message, answer = choice.message, choice.message.content or ""
    reasoning = getattr(message, "reasoning", None) or getattr(message, "reasoning_content", None)
    if not isinstance(reasoning, str) or not reasoning.strip():
        return part_inline(answer)
    return Parted(reasoning.strip(), answer.strip(), ended=bool(answer.strip()))


def _reasoning_tokens(reply: ChatCompletion, parted: Parted, written: int) -> int:
    """The server's count; where it has none, the thoughts' share of the characters."""
    details = reply.usage.completion_tokens_details if reply.usage else None
    if details and details.reasoning_tokens:
        return min(details.reasoning_tokens, written)
    thought, answered = len(parted.reasoning), len(parted.answer)
    return round(written * thought / (thought + answered)) if thought else 0


def _response_format(form: Form | None) -> ResponseFormatJSONSchema | openai.Omit:
    """A JSON schema as OpenAI's own field has it."""
    if form is None or not form.schema:
        return openai.omit
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


def _split(url: str) -> tuple[str, tuple[str, str] | None, dict[str, str]]:
    """A server's base without what may be secret, the login that stood in it, and its query."""
    parts = urlsplit(url)
    user, password = (unquote(part or "") for part in (parts.username, parts.password))
    login = (user, password) if user or password else None
    base = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return base.geturl(), login, dict(parse_qsl(parts.query))


def _tops(choice: Choice) -> list[float]:
    """The probability of each position's most likely token; empty where the server tells none."""
    if choice.logprobs is None or not choice.logprobs.content:
        return []
    return [
        math.exp(max([t.logprob, *(other.logprob for other in t.top_logprobs or ())])) for t in choice.logprobs.content
    ]
