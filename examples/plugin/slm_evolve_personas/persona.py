"""A strategy: each round the task is posed anew by a person of another trade."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random
from typing import ClassVar

from pydantic import Field

from evolve.flow import Flow, Strategy
from evolve.prompts import load_template
from evolve.records import Instruction, Prompt, Round, Sampling
from evolve.strategies.elimination import Elimination
from evolve.strategies.method import Method
from evolve.strategies.rounds import EQUAL_TEMPLATE, Draft, Judge, draw_seed, evolve_rounds, usage_of
from ray_jobs.config.strategies import EvolvingConfig

TEMPLATES = Path(__file__).parent / "templates"


class PersonaConfig(EvolvingConfig):
    """What stands under `strategy` in a run's configuration, beside what every strategy has."""

    kind: str = "persona"
    personas: tuple[str, ...] = Field(("a nurse", "a carpenter", "a judge", "a pilot"), min_length=1)
    own_templates: ClassVar[Path | None] = TEMPLATES

    def build(self, method: Method | None = None) -> Strategy:  # noqa: ARG002 (it has none)
        """The strategy, with its templates read and checked."""
        return Persona(self.rounds, self.personas, self.sampling.build(), self.rules(), self.templates)


class Persona:
    """Evolves an instruction over `rounds` rounds, each by one of `personas`, drawn for each row and round.

    `templates` is a folder whose files replace `persona/rewrite.txt` and the judge's prompt.
    """

    name = "persona"

    def __init__(
        self,
        rounds: int,
        personas: tuple[str, ...],
        sampling: Sampling,
        elimination: Elimination,
        templates: Path | None = None,
    ) -> None:
        self.rounds = rounds
        self._personas = personas
        self._sampling = sampling
        self._rewrite = load_template(
            "persona/rewrite", {"persona", "instruction"}, {"input"}, templates, shipped=TEMPLATES
        )
        self._judge = Judge(elimination, load_template(EQUAL_TEMPLATE, {"parent", "instruction"}, folder=templates))

    def fingerprint(self) -> str:
        """A digest of all that changes what comes out: a run that goes on must have the same."""
        rules, equal = self._judge.rules, self._judge.equal.digest()
        parts = [self.name, self.rounds, self._personas, self._rewrite.digest(), self._sampling, rules, equal]
        return hashlib.blake2b("\n".join(map(repr, parts)).encode(), digest_size=8).hexdigest()

    def evolve(self, seed: Instruction, index: int, rng: Random) -> Flow[list[Round]]:  # noqa: ARG002 (it has no turns)
        """One prompt a round, and one more where the judge's rule is on."""
        drawn = [rng.choice(self._personas) for _ in range(self.rounds)]

        def step(parent: Instruction, number: int) -> Flow[Draft]:
            filled = self._rewrite.messages(persona=drawn[number], instruction=parent.instruction, input=parent.input)
            reply = yield Prompt(filled, self._sampling, draw_seed(rng), measure_confidence=True)
            return Draft(reply, drawn[number], usage_of(reply))

        return evolve_rounds(seed, self.rounds, drawn.__getitem__, step, self._judge, rng)
