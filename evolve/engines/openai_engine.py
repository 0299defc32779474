"""The engine that talks to OpenAI-compatible HTTP servers, for people who run servers of their own."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import msgspec

from evolve.confidence import Confidence
from evolve.engine import PROBE
from evolve.engines.chat import Chat
from evolve.engines.http_server import BUSY, Gone, HttpServer, Refused, Unreachable
from evolve.engines.http_servers import HttpServers
from evolve.engines.openai_places import places
from evolve.engines.openai_reply import (
    Reply,
    Usage,
    apart,
    parted,
    probabilities,
    read_reply,
    reasoning_tokens,
    tops,
)
from evolve.engines.quota import Limits
from evolve.engines.reply_text import TELL, clean, finish
from evolve.engines.several import joined
from evolve.errors import EngineDied, PromptRefused, ReplyWithheld, SettingsRefused
from evolve.records import Completion, Form, Prompt
from evolve.thoughts import Parted

PATH = "/chat/completions"
OF_THE_CONFIGURATION = {
    401: "api_key_env",
    402: "api_key_env",
    404: "url",
    405: "url",
    407: "url",
    410: "url",
    421: "url",
    426: "url",
    511: "url",
    429: "api_key_env",
}
"""What a server answers to every prompt, and the setting that is at fault; 429 where it says that nobody pays."""
_UNKNOWN = re.compile(
    r"unsupported|not (?:\w+ )?(?:support|permit|allow|recogni[sz]|accept|known|enabled)|unrecogni[sz]ed|unknown"
    r"|unexpected|extra (?:inputs|fields)|forbidden|does not (?:support|accept|know)|unavailable|not available",
    re.IGNORECASE,
)
"""The words in which servers say that they do not know a field."""
LIKELIEST = 20
"""How many tokens of each position are asked for where answers are weighed; no more than OpenAI gives."""
_UNKNOWN_PROBABILITIES = "it is asked without: mean_top1_prob and expected scores stay empty"
_WITHOUT: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("max_tokens", ("max_tokens",), "the limit goes to it as max_completion_tokens"),
    ("logprobs", ("logprobs", "top_logprobs"), _UNKNOWN_PROBABILITIES),
    ("top_logprobs", ("logprobs", "top_logprobs"), _UNKNOWN_PROBABILITIES),
    ("seed", ("seed",), "it is asked without: another run may draw other replies"),
    ("n", ("n",), "several answers are asked for one by one, and the prompt is paid for each time"),
)
"""Fields that not every server knows, what is left out for each, and what that means."""
NO_LIMITS = Limits()
log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class OpenAIEngine:
    """Completes prompts through `/chat/completions` at `urls`, servers' bases such as http://127.0.0.1:8000/v1.

    Keys are read from the environment variables `key_variables`, so that they stand in no configuration: one for all
    URLs, several for one URL, or one each. A user and password in a URL go into the header of each request, a query
    into its address; no message shows them. Requests that fail for a server's reasons go on to another, and are
    repeated `retries` times, with growing pauses or as it asks; servers that all stay away after that raise EngineDied.
    `timeout` is in seconds a request. No more than `at_once` requests are under way at each URL and key, fewer while
    that is of no use, and in a minute no more than `limits` a key.

    What a model thinks aloud is the server's `reasoning` or `reasoning_content`, or what stands in <think> tags before
    the answer; with `parted` off everything in the content is the answer. `reasoning_tokens` are added to each prompt's
    limit, since servers bound thoughts and answer together.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        model: str,
        key_variables: str | Sequence[str],
        timeout: float,
        retries: int,
        chat: Chat | None = None,
        parted: bool = True,
        reasoning_tokens: int = 0,
        at_once: int = 256,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._model, self._chat = model, chat or Chat()
        self._parted, self._reasoning_tokens = parted, reasoning_tokens
        self._without = set[str]()
        servers = places(_listed(urls), _listed(key_variables), timeout, at_once, limits)
        self._servers, self.max_concurrency = HttpServers(servers, retries), at_once * len(servers)

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`. Draws that a server leaves out are asked for one by one, side by side."""
        replies = apart(await self._reply(prompt))
        missing = range(len(replies), prompt.draws)
        if missing and "n" not in self._without:
            self._without.add("n")
            told = (
                "a server gives %d of %d answers: the others are asked for one by one, and paid for with their prompts"
            )
            log.warning(told, missing[0], missing[-1] + 1, extra=TELL)
        alone = [self._alone(replace(prompt, draws=1, seed=prompt.seed + place)) for place in missing]
        found = [*replies, *await asyncio.gather(*alone)]
        read = sum((reply.usage or Usage()).prompt_tokens or 0 for reply in found if isinstance(reply, Reply))
        return joined([partial(self._settled, reply, prompt) for reply in found[: prompt.draws]], read)

    async def _alone(self, prompt: Prompt) -> Reply | PromptRefused:
        """The server's reply to one of several draws; why there is none, for the others have been paid for."""
        try:
            return apart(await self._reply(prompt))[0]
        except PromptRefused as refused:
            return refused

    def _settled(self, reply: Reply | PromptRefused, prompt: Prompt) -> Completion:
        if isinstance(reply, PromptRefused):
            raise reply
        return self._completion(reply, prompt)

    async def _reply(self, prompt: Prompt) -> Reply:
        """The server's reply, which has a choice."""
        try:
            reply = await self._asked(prompt)
        except UnicodeError as refused:
            raise PromptRefused(f"the prompt is no Unicode: {refused}") from refused
        except Refused as refused:
            await self._refused(refused, prompt)
        except Unreachable as gone:
            raise EngineDied(f"the server at {gone.server.name} does not answer: {gone}") from gone
        except Gone as gone:
            # one that gives others an answer fails for this prompt
            busy = not gone.broken and gone.status in (None, *BUSY)
            if not busy and gone.server.answered and await self._lives(gone.server):
                raise PromptRefused(f"the server fails for the prompt: {gone}") from gone
            raise EngineDied(f"the server at {gone.server.name} does not answer: {gone}") from gone
        if not reply.choices:
            raise PromptRefused("the server gives no reply to the prompt")
        return reply

    async def _asked(self, prompt: Prompt) -> Reply:
        """The server's reply; a field that it does not know is left out, of this request and of all later ones."""
        extra = _beyond(prompt, self._chat)
        while True:
            fields = self._request(prompt) | extra
            try:
                return await self._servers.post(PATH, _encoder.encode(fields), read_reply, _tokens)
            except Refused as refused:
                if not self._leave_out(refused, fields):
                    raise

    def _leave_out(self, refused: Refused, fields: Mapping[str, Any]) -> bool:
        """Whether one of `fields` is what the server does not know; it goes without from now on."""
        text = str(refused)
        if refused.status not in (400, 422, 501):
            return False
        unknown = _UNKNOWN.search(text)
        for name, left_out, meaning in _WITHOUT:
            # a server may know `n` and take nothing but 1
            if name in fields and (unknown or name == "n") and re.search(rf"\b{name}\b", text):
                if name not in self._without:
                    self._without |= set(left_out)
                    log.warning("the server at %s knows no %s: %s", refused.server.base, name, meaning, extra=TELL)
                return True
        return False

    async def _refused(self, refused: Refused, prompt: Prompt) -> NoReturn:
        """Whose fault it is: the prompt's, or the configuration's, under which no prompt is taken."""
        self._blame_settings(refused, prompt)
        status, server, told = refused.status, refused.server, f"the server at {refused.server.name} refuses: {refused}"
        # what a filter does to one prompt, and what a server does that is another than was meant
        either = status < 400 or status == 403
        if either and ((server.answered and status in (200, 403)) or await self._lives(server, status)):
            raise PromptRefused(f"the server refuses the prompt: {refused}") from refused
        name = "api_key_env" if status == 403 else "url" if either else OF_THE_CONFIGURATION.get(status)
        if status == 404 and re.search(rf"(?<!\w){re.escape(self._model)}(?!\w)", str(refused)):
            name = "model"
        if name:
            raise SettingsRefused(f"{name}: {told}") from refused
        raise PromptRefused(f"the server refuses the prompt: {refused}") from refused

    async def _lives(self, server: HttpServer, refusal: int | None = None) -> bool:
        """Whether the server completes what every server does, or refuses it with another status than `refusal`."""
        try:
            await self._servers.post(PATH, _encoder.encode(self._request(PROBE)), read_reply, _tokens, server)
        except Gone:
            return False
        except Refused as refused:
            return refused.status != refusal
        return True

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        """OpenAI's own fields, as far as they say anything."""
        sampling, measured = prompt.sampling, prompt.measure_confidence or bool(prompt.answers)
        fields = {
            "model": self._model,
            "messages": self._chat.turns(prompt.messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty or None,
            "max_tokens": sampling.max_tokens + self._reasoning_tokens,
            "stop": list(sampling.stop) or None,
            "seed": prompt.seed,
            "n": prompt.draws if prompt.draws > 1 else None,
            "logprobs": measured or None,
            "top_logprobs": LIKELIEST if prompt.answers else 1 if measured else None,
            "response_format": _response_format(prompt.form),
        }
        if "max_tokens" in self._without:
            fields["max_completion_tokens"] = fields["max_tokens"]
        return {name: value for name, value in fields.items() if value is not None and name not in self._without}

    def _blame_settings(self, refused: Refused, prompt: Prompt) -> None:
        """Raise SettingsRefused where a server that has answered nothing yet refuses a field not all know."""
        fields = [*_beyond(prompt, self._chat), *(["presence_penalty"] if prompt.sampling.presence_penalty else [])]
        fields += ["response_format"] if prompt.form else []
        for name in fields if not refused.server.answered else ():
            if name in str(refused):
                raise SettingsRefused(f"{name}: the server at {refused.server.name} refuses it: {refused}") from refused

    def _completion(self, reply: Reply, prompt: Prompt) -> Completion:
        choice, usage = reply.choices[0], reply.usage or Usage()
        ending = choice.finish_reason
        if not choice.message.content and isinstance(choice.message.refusal, str) and choice.message.refusal:
            raise ReplyWithheld("model_refusal", f"the model refuses: {choice.message.refusal}")
        found = parted(choice) if self._parted else Parted("", choice.message.content or "")
        written = usage.completion_tokens or 0
        thought, likely = reasoning_tokens(reply, found, written), tops(choice)
        text = clean(found.answer)
        return Completion(
            text=text,
            finish_reason=finish(ending),
            prompt_tokens=0,
            completion_tokens=written,
            # some servers tell the probabilities of the answer's tokens alone
            confidence=Confidence.of(likely[thought:] if len(likely) == written else likely),
            reasoning=found.reasoning.replace("\0", ""),
            reasoning_tokens=thought,
            reasoning_ended=found.ended,
            probabilities=probabilities(choice, prompt.answers, text) if prompt.answers else None,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()


def _listed(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _tokens(reply: Reply) -> tuple[int, int]:
    usage = reply.usage or Usage()
    return usage.prompt_tokens or 0, usage.completion_tokens or 0


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
