"""One instruction through the steps that settle what code can check of it: replies, cross-validation, descriptions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from evolve.autoif.back_translation import BackTranslated, back_translate
from evolve.autoif.cross_validation import cross_validate
from evolve.autoif.records import Case, Check, Dropped, ScoredFunction, Step
from evolve.autoif.rules import Rules
from evolve.autoif.templates import Templates
from evolve.autoif.verification import Verifications, write_verifications
from evolve.engine import Engine
from evolve.flow import Flow, drive
from evolve.records import Usage


@dataclass(frozen=True, slots=True)
class Examined:
    """What the steps left of an instruction.

    `entered` counts what came in by kind, of which `dropped` holds what fell by itself; the rest is here, or went down
    with the instruction. `reason` says why the instruction falls at `step`; None where it goes on.
    """

    instruction: str
    functions: tuple[ScoredFunction, ...]
    cases: tuple[Case, ...]
    back_translations: tuple[str, ...]
    dropped: tuple[Dropped, ...]
    entered: Counter[str]
    usage: Usage
    step: Step = "cross_validate"
    reason: str | None = None

    def account(self) -> dict[str, Any]:
        """All of it but the instruction, its functions and the tokens, as JSON can hold it."""
        kept = {"reply": self.entered["function"], "function": len(self.functions), "case": len(self.cases)}
        return {
            "entered": dict(self.entered),
            "kept": kept | {"back_translation": len(self.back_translations)},
            "cases": [asdict(case) for case in self.cases],
            "back_translations": list(self.back_translations),
            "fallen": [asdict(item) for item in self.dropped],
        }


@dataclass(frozen=True)
class Examiner:
    """The steps under one set of rules. `check` runs model-written code, and only `check` does; it may block."""

    rules: Rules
    templates: Templates
    engine: Engine
    check: Check = field(repr=False)

    async def examine(self, instruction: str, rng: Random) -> Examined:
        """Take `instruction` through the steps. Raises EngineDied, and SandboxError where `check` does."""
        written = await self._written(instruction, rng)
        tried = await asyncio.to_thread(
            cross_validate, instruction, written.verifications, self.rules.cross_validation, self.check
        )
        entered = _entered(written, self.rules.replies)
        dropped, usage, described = [*written.dropped, *tried.dropped], written.usage, tuple[str, ...]()
        if tried.kept and self.rules.back_translations:
            sources = [function.source for function in tried.functions]
            entered["back_translation"] = min(len(sources), self.rules.back_translations)
            back = await drive(self._described(sources, rng), self.engine)
            described, usage = back.instructions, usage + back.usage
            dropped += back.dropped
        return Examined(
            instruction, tried.functions, tried.cases, described, tuple(dropped), entered, usage, reason=tried.reason
        )

    async def _written(self, instruction: str, rng: Random) -> Verifications:
        rules = self.rules
        template, sampling = self.templates.verify, rules.verify_sampling
        flow = write_verifications(instruction, rules.replies, template, sampling, rng, rules.forms)
        return await drive(flow, self.engine)

    def _described(self, sources: Sequence[str], rng: Random) -> Flow[BackTranslated]:
        rules = self.rules
        template, sampling = self.templates.back_translate, rules.verify_sampling
        return back_translate(sources, rules.back_translations, template, sampling, rng)


def _entered(written: Verifications, replies: int) -> Counter[str]:
    unusable = sum(item.kind == "case" for item in written.dropped)
    cases = unusable + sum(len(verification.cases) for verification in written.verifications)
    return Counter(reply=replies, function=len(written.verifications), case=cases)
