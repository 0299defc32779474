"""Chat completions as OpenAI's clients ask for them, and what becomes of each field here."""

from __future__ import annotations

import json
import random
import re
import time
import uuid
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from evolve.listening import URGENT
from evolve.records import Completion, Form, Message, Prompt, Sampling
from ray_jobs.errors import ConfigError
from ray_jobs.output.rounds import storable
from ray_jobs.service.asked_strategy import WRONG

DEFAULT_TOKENS = 2048
MOST_CHOICES = 128
"""As many as OpenAI gives."""
_URGENCY = re.compile(r"(?:^|,)\s*u\s*=\s*([0-7])\s*(?:,|;|$)")


def _nothing(value: Any) -> None:
    """The value of a field that is taken where it asks for nothing."""
    if value:
        raise ValueError("is not supported by this service")


_Without = Annotated[None, BeforeValidator(_nothing)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TextPart(_Lenient):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class ChatMessage(_Lenient):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | tuple[TextPart, ...]
    name: str | None = None

    def message(self) -> Message:
        """As engines take it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return Message(role, storable(text))


class StreamOptions(_Lenient):
    """What a stream tells beside its pieces."""

    include_usage: bool = False
    include_obfuscation: bool = False


class JsonSchema(_Lenient):
    """The form of a reply."""

    name: str = "reply"
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Lenient):
    """Text, or JSON of a schema."""

    type: Literal["text", "json_schema"]
    json_schema: JsonSchema | None = None


class Structured(_Lenient):
    """The form of a reply, as vLLM's server takes it."""

    choice: tuple[str, ...] = ()
    regex: str = ""


class ChatRequest(_Lenient):
    """A request for one completion. Numbers that are not given are as the model's generation_config says.

    A field that this service cannot heed is refused, unless it asks for nothing.
    """

    model: str
    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0)
    max_tokens: int = Field(DEFAULT_TOKENS, ge=1, validation_alias=AliasChoices("max_completion_tokens", "max_tokens"))
    stop: str | tuple[str, ...] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: Structured | None = None
    priority: int | None = Field(None, ge=0)
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    logprobs: _Without = None
    top_logprobs: _Without = None
    frequency_penalty: _Without = None
    logit_bias: _Without = None
    tools: _Without = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None

    def prompt(self, adapter: str | None) -> Prompt:
        """As engines take it."""
        sampling = Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            stop=(self.stop,) if isinstance(self.stop, str) else self.stop or (),
            top_k=self.top_k,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
        )
        seed = random.getrandbits(31) if self.seed is None else self.seed
        messages = tuple(message.message() for message in self.messages)
        return Prompt(messages, sampling, seed, form=self._form(), adapter=adapter, draws=self.n or 1)

    @model_validator(mode="after")
    def _streams_one(self) -> Self:
        if self.stream and (self.n or 1) > 1:
            raise ValueError("n: expected 1 beside stream")
        return self

    def urgency(self, header: str | None) -> int:
        """How urgent it is: by `priority`, 0 for a person and more for others, or by a header as in RFC 9218."""
        if self.priority is not None:
            return min(URGENT + self.priority, 7)
        found = _URGENCY.search(header or "")
        return max(URGENT, int(found[1])) if found else URGENT

    def _form(self) -> Form | None:
        if self.structured_outputs and (self.structured_outputs.choice or self.structured_outputs.regex):
            return Form(choices=self.structured_outputs.choice, pattern=self.structured_outputs.regex)
        if self.response_format is None or self.response_format.type == "text":
            return None
        if self.response_format.json_schema is None:
            raise ConfigError(f"{WRONG}response_format.json_schema: is missing")
        return Form(schema=json.dumps(self.response_format.json_schema.schema_))


class Reply:
    """The answer to one request, whole or in pieces."""

    def __init__(self, request: ChatRequest) -> None:
        self._id, self._created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        self._request, self._told = request, 0

    def whole(self, completion: Completion) -> dict[str, Any]:
        """All of it in one."""
        choices = [_choice(place, draw) for place, draw in enumerate(completion.drawn)]
        return self._object("chat.completion", choices) | {"usage": usage(completion)}

    def first(self) -> dict[str, Any]:
        """The piece that says who speaks."""
        return self._piece({"role": "assistant", "content": ""})

    def piece(self, text: str) -> dict[str, Any]:
        """A piece of the text."""
        self._told += len(text)
        return self._piece({"content": text})

    def last(self, completion: Completion) -> list[dict[str, Any]]:
        """What follows the pieces: the text where none of it was told, why it ended, and its tokens if asked for."""
        pieces = []
        if completion.reasoning:
            pieces.append(self._piece({"reasoning_content": completion.reasoning}))
        if not self._told and completion.text:
            pieces.append(self._piece({"content": completion.text}))
        pieces.append(self._piece({}, completion.finish_reason))
        if self._request.stream_options and self._request.stream_options.include_usage:
            pieces.append(self._object("chat.completion.chunk", []) | {"usage": usage(completion)})
        return pieces

    def _piece(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._object("chat.completion.chunk", [choice])

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._request.model,
            "choices": choices,
        }


def _choice(place: int, draw: Completion) -> dict[str, Any]:
    message = {"role": "assistant", "content": draw.text, "refusal": None}
    if draw.reasoning:
        message["reasoning_content"] = draw.reasoning
    ended = "content_filter" if draw.withheld else draw.finish_reason
    return {"index": place, "message": message, "finish_reason": ended, "logprobs": None}


def usage(completion: Completion) -> dict[str, Any]:
    """The tokens of a completion, all draws together."""
    read, written = completion.prompt_tokens, completion.tokens_written
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "completion_tokens_details": {"reasoning_tokens": sum(draw.reasoning_tokens for draw in completion.drawn)},
    }
