"""The values that strategies and engines exchange. Plain data: no behaviour beyond construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evolve.confidence import Confidence
from evolve.described import BEFORE

FinishReason = Literal["stop", "length"]
Role = Literal["system", "user", "assistant"]
UNFINISHED_REASONING = "unfinished_reasoning"
"""The reason by which a reply falls whose thoughts did not end: it holds no answer."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """A task for a language model. `input` is carried along and never evolved (arXiv 2412.11231, Alpaca format)."""

    instruction: str
    input: str = ""
    output: str = ""

    @property
    def text(self) -> str:
        """The task as a model is asked it: the instruction, and below it the input where there is one."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw one completion. `temperature` 0 is greedy; `max_tokens` bounds the completion, in tokens.

    A number that is None is as the model's generation_config says. `extra` holds what else the engine is to be told, by
    the engine's own names.
    """

    temperature: float | None = 0.7
    top_p: float | None = 0.95
    max_tokens: int = 2048
    stop: tuple[str, ...] = ()
    top_k: int | None = field(default=0, metadata={BEFORE: 0})
    min_p: float | None = field(default=0.0, metadata={BEFORE: 0.0})
    repetition_penalty: float | None = field(default=1.0, metadata={BEFORE: 1.0})
    presence_penalty: float | None = field(default=0.0, metadata={BEFORE: 0.0})
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata={BEFORE: {}})


@dataclass(frozen=True, slots=True)
class Form:
    """What a reply must look like: one of `choices`, a match of the regular expression `pattern`, or JSON of `schema`.

    One of the three is given. A model that thinks aloud does so first; the form is that of its answer.
    """

    choices: tuple[str, ...] = ()
    pattern: str = ""
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that an engine is to go on with: a system prompt first, if any, and a user's turn last.

    `form` holds the reply to a form, where the engine can. `seed` makes the draw repeatable as far as the engine
    allows. `measure_confidence` asks for `Completion.confidence`, which costs the engine log-probabilities, as do
    `answers`: whole answers of which `Completion.probabilities` are wanted. `adapter` is the one of an engine's
    adapters that is to answer, "" for the bare model; None: as the engine is set. `draws` completions are drawn at
    once, each by a seed of its own that follows from `seed`.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    seed: int
    measure_confidence: bool = False
    form: Form | None = None
    adapter: str | None = None
    answers: tuple[str, ...] = ()
    draws: int = 1

    @classmethod
    def user(cls, text: str, sampling: Sampling, seed: int, measure_confidence: bool = False) -> Prompt:
        """`text` as one user's turn."""
        return cls((Message("user", text),), sampling, seed, measure_confidence)

    @property
    def text(self) -> str:
        """What the user says."""
        return "\n\n".join(message.content for message in self.messages if message.role == "user")

    @property
    def whole_text(self) -> str:
        """What all turns say, the system prompt included."""
        return "\n\n".join(message.content for message in self.messages)


@dataclass(frozen=True, slots=True)
class Completion:
    """An engine's reply. Token counts are the engine's own; `confidence` is None where it was not measured.

    `text` is the answer alone. What the model thought aloud before it is `reasoning`, which took `reasoning_tokens` of
    the `completion_tokens`; where the thoughts did not end there is no answer. `confidence` is of the probability, at
    each position of the answer, of the most likely token there (arXiv 2412.11231, Section 4), before temperature and
    top-p. `probabilities` are those of the prompt's `answers`, 1 in sum; None where the engine cannot tell.

    Where a prompt wants several draws this is the first, and `others` are the rest, in order; they name no tokens of
    the prompt, which was read once. One of several may be `withheld`, with the engine's word for why: it has no text.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    confidence: Confidence | None = None
    reasoning: str = ""
    reasoning_tokens: int = 0
    reasoning_ended: bool = True
    probabilities: tuple[float, ...] | None = None
    others: tuple[Completion, ...] = ()
    withheld: str = ""

    @property
    def mean_top1_prob(self) -> float | None:
        """The mean of `confidence`."""
        return self.confidence.mean if self.confidence else None

    @property
    def drawn(self) -> tuple[Completion, ...]:
        """All that was drawn, itself first."""
        return (self, *self.others)

    @property
    def tokens_written(self) -> int:
        """The completion tokens of all draws."""
        return sum(draw.completion_tokens for draw in self.drawn)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens spent on one round or one response, over all its prompts; `reasoning_tokens` of the completions'."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Evolved:
    """A round that gave a new instruction."""

    instruction: str
    operator: str
    finish_reason: FinishReason
    usage: Usage
    confidence: Confidence | None = None
    trajectory: str | None = None
    """What the strategy wants to keep of how it got there, as JSON; None for strategies without one."""
    reasoning: str = ""

    @property
    def mean_top1_prob(self) -> float | None:
        """The mean of `confidence`."""
        return self.confidence.mean if self.confidence else None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A round or response that a rule rejected. `reason` is the rule's name; `text` is what was rejected."""

    reason: str
    text: str
    operator: str = ""
    usage: Usage = field(default_factory=Usage)
    finish_reason: FinishReason | None = None
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A round or response that broke. `error` is the error's class, `message` says what happened."""

    error: str
    message: str
    operator: str = ""
    text: str = ""
    usage: Usage = field(default_factory=Usage)


Round = Evolved | Rejected | Failed
"""How one round of a row ends."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to an instruction that no rule rejected."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    reasoning: str = ""


Answer = Response | Rejected | Failed
"""How the answer to one instruction ends."""
