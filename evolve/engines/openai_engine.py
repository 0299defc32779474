"""The engine that talks to an OpenAI-compatible HTTP server, for people who run servers of their own."""

from __future__ import annotations

import logging
import math
import os
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import openai
from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.chat_completion import Choice

from evolve.confidence import Confidence
from evolve.engines.chat import Chat
from evolve.errors import EngineDied, PromptRefused
from evolve.records import Completion, Prompt

# What a server answers when it will never take this prompt, however often it is asked.
_REFUSALS = (openai.BadRequestError, openai.UnprocessableEntityError)


class OpenAIEngine:
    """Completes prompts through `/chat/completions` at `url`, a server's base such as http://127.0.0.1:8000/v1.

    The key is read from the environment variable `key_variable`, so that it stands in no configuration. A user and
    password in `url` go into the header of each request, a query into its address; no message shows them.
    The client repeats requests that fail for the server's reasons `retries` times, with growing pauses;
    a server that stays away after that raises EngineDied. `timeout` is in seconds a request.
    """

    def __init__(
        self, url: str, model: str, key_variable: str, timeout: float, retries: int, chat: Chat | None = None
    ) -> None:
        self._model, self._chat = model, chat or Chat()
        base, login, query = _split(url)
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
        sampling = prompt.sampling
        try:
            reply = await self._client.chat.completions.create(
                model=self._model,
                messages=cast("list[ChatCompletionMessageParam]", self._chat.turns(prompt.messages)),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                stop=list(sampling.stop) or openai.omit,
                seed=prompt.seed,
                logprobs=True if prompt.measure_confidence else openai.omit,
                top_logprobs=1 if prompt.measure_confidence else openai.omit,
                extra_body=_template_fields(self._chat),
            )
        except (*_REFUSALS, UnicodeError) as refused:
            raise PromptRefused(f"the server refuses the prompt: {refused}") from refused
        except openai.OpenAIError as gone:
            raise EngineDied(f"the server at {self._client.base_url} does not answer: {gone}") from gone
        choice = reply.choices[0]
        return Completion(
            text=choice.message.content or "",
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            prompt_tokens=reply.usage.prompt_tokens if reply.usage else 0,
            completion_tokens=reply.usage.completion_tokens if reply.usage else 0,
            confidence=Confidence.of(_tops(choice)),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _template_fields(chat: Chat) -> dict[str, Any] | None:
    """What servers such as vLLM's and SGLang's take beside OpenAI's fields to fill in a chat template."""
    fields = {"chat_template_kwargs": dict(chat.arguments) or None, "chat_template": chat.template}
    return {name: value for name, value in fields.items() if value is not None} or None


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
    return [math.exp(max(t.logprob, *(o.logprob for o in t.top_logprobs))) for t in choice.logprobs.content]
