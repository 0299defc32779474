"""Evol-Instruct (arXiv 2304.12244) in the form in which arXiv 2412.11231 compares evolvers."""

from __future__ import annotations

import hashlib
from random import Random

from evolve.described import described
from evolve.flow import Flow
from evolve.prompts import TemplateSource, load_template
from evolve.records import Instruction, Prompt, Round, Sampling
from evolve.strategies.elimination import Elimination
from evolve.strategies.rounds import EQUAL_TEMPLATE, Draft, Judge, draw_seed, evolve_rounds, usage_of

IN_DEPTH = ("add_constraint", "deepen", "concretise", "reasoning")
BREADTH = "breadth"
COMPLICATE_INPUT = "complicate_input"
OPERATORS = (*IN_DEPTH, COMPLICATE_INPUT, BREADTH)
TEMPLATES = frozenset({*(f"evol_instruct/{name}" for name in OPERATORS), EQUAL_TEMPLATE})


def operator_order(breadth: bool, complicate_input: bool) -> tuple[str, ...]:
    """The round-robin order: the four in-depth operators, then what is switched on beside them."""
    return IN_DEPTH + (COMPLICATE_INPUT,) * complicate_input + (BREADTH,) * breadth


class EvolInstruct:
    """Evolves an instruction over `rounds` rounds, one operator a round.

    The operator of seed i in round r, both 0-based, is operators[(i + r) mod K] (arXiv 2412.11231).
    `templates` is a folder whose files replace the shipped prompts, or the texts by name; TemplateError tells what is
    wrong with one.
    """

    name = "evol_instruct"

    def __init__(
        self,
        rounds: int,
        operators: tuple[str, ...],
        sampling: Sampling,
        elimination: Elimination,
        templates: TemplateSource | None = None,
        forms: bool = False,
    ) -> None:
        self.rounds = rounds
        self._operators = operators
        self._sampling = sampling
        self._templates = {
            name: load_template(f"evol_instruct/{name}", {"instruction"}, {"input"}, templates) for name in operators
        }
        equal = load_template(EQUAL_TEMPLATE, {"parent", "instruction"}, folder=templates)
        self._judge = Judge(elimination, equal, forms)

    def fingerprint(self) -> str:
        """A digest of rounds, operators and their templates, sampling and rules."""
        parts = [
            self.name,
            str(self.rounds),
            *(f"{name} {template.digest()}" for name, template in self._templates.items()),
            described(self._sampling),
            *self._judge.fingerprint(),
        ]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()

    def evolve(self, seed: Instruction, index: int, rng: Random) -> Flow[list[Round]]:
        """One prompt a round, and one more where the judge's rule is on."""

        def operator(number: int) -> str:
            return self._operators[(index + number) % len(self._operators)]

        def step(parent: Instruction, number: int) -> Flow[Draft]:
            template = self._templates[operator(number)]
            messages = template.messages(instruction=parent.instruction, input=parent.input)
            reply = yield Prompt(messages, self._sampling, draw_seed(rng), measure_confidence=True)
            return Draft(reply, operator(number), usage_of(reply))

        return evolve_rounds(seed, self.rounds, operator, step, self._judge, rng)
