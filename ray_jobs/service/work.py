"""What the gateway asks of engines and what they answer: values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from evolve.flow import Strategy
from evolve.listening import URGENT
from evolve.records import Prompt
from evolve.strategies.respond import Responder
from ray_jobs.errors import JobError


class PromptTurnedDown(JobError):
    """The engine will never complete this prompt: it is the client's to change."""


class EngineAway(JobError):
    """The engine cannot complete anything now."""


@dataclass(frozen=True)
class Trouble:
    """Why an engine has no answer, in a form that every way between processes keeps."""

    kind: Literal["prompt", "engine"]
    message: str

    def error(self) -> JobError:
        """What to raise."""
        return PromptTurnedDown(self.message) if self.kind == "prompt" else EngineAway(self.message)


@dataclass(frozen=True)
class Trial:
    """One row to be evolved: `row` has what a planned row has, `seed` is the run's."""

    strategy: Strategy
    row: dict[str, Any]
    seed: int
    adapter: str | None = None


@dataclass(frozen=True)
class Question:
    """A round of a row to be answered; `row` and `seed` as in Trial."""

    responder: Responder
    row: dict[str, Any]
    round_row: dict[str, Any]
    seed: int
    adapter: str | None = None


@dataclass(frozen=True)
class Call:
    """One prompt, and how urgent its completion is, as in RFC 9218."""

    prompt: Prompt
    urgency: int = URGENT
