"""What a search knows after each step. It is plain data, so that a killed search goes on at its last finished step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from evolve.errors import SearchError
from evolve.method_search.failures import Score
from evolve.method_search.propose import Proposal
from evolve.strategies.method import Method

Stopped = Literal["nothing_failed", "no_failures_found", "no_candidate", "rate_not_falling", "max_steps"]
"""Why a search ended: no dev row failed; no analysis listed a failure; no reply held a method; no candidate had a lower
failure rate; all steps are done."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate of one step. Only a proposal with a text has a fingerprint and a score."""

    number: int
    proposal: Proposal
    fingerprint: str | None = None
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class StepLog:
    """One step: its candidates, and the method that it ended with, by fingerprint, with its score.

    Step 0 only measures the initial method. `chosen` is the number of the candidate that became the method, None
    where the method stayed.
    """

    step: int
    method: str
    score: Score
    candidates: tuple[Candidate, ...] = ()
    chosen: int | None = None


@dataclass(frozen=True, slots=True)
class OptimiserState:
    """A search after its last finished step. `search` is the digest of what determines its result."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    search: str
    method: Method
    log: tuple[StepLog, ...]
    stopped: Stopped | None = None

    @property
    def score(self) -> Score:
        """How the method fares on the dev rows."""
        return self.log[-1].score

    def to_json(self) -> bytes:
        """UTF-8 JSON, indented, so that it serves as the log of all candidates too."""
        return _FILE.dump_json(self, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, source: str) -> OptimiserState:
        """Read a saved state. Raises SearchError, naming `source`, where it is none."""
        try:
            return _FILE.validate_json(data)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, problem["loc"]))
            raise SearchError(f"{source}: expected the state of a search: {field}: {problem['msg']}") from None


_FILE = TypeAdapter(OptimiserState)
