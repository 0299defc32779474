"""Auto Evol-Instruct (arXiv 2406.00770): one method, in steps, that finds for each task how to make it harder.

arXiv 2412.11231 uses the initial method alone; `evolve.method_search` searches for a better one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from random import Random

from evolve.described import described
from evolve.flow import Flow
from evolve.prompts import Template, TemplateSource, load_system, load_template
from evolve.records import Completion, Instruction, Prompt, Round, Sampling
from evolve.strategies.elimination import Elimination
from evolve.strategies.reply_sections import Sections, parse_reply
from evolve.strategies.rounds import EQUAL_TEMPLATE, Draft, Judge, draw_seed, evolve_rounds, usage_of

METHOD_TEMPLATE = "auto_evol/method"
TEMPLATES = frozenset({METHOD_TEMPLATE, EQUAL_TEMPLATE})
REQUIRED = frozenset({"instruction"})
OPTIONAL = frozenset({"input"})
NO_FINAL_INSTRUCTION = "no_final_instruction"


class AutoEvol:
    """Evolves an instruction over `rounds` rounds with one method, one prompt a round.

    `method` is the method to use (see `evolve.strategies.method.Method.template`); without it the folder `templates` or
    the shipped prompts give the initial one. A reply without a final instruction is rejected as "no_final_instruction",
    its text kept. The operator of every round is "method:" and the method's fingerprint. `mean_top1_prob` is over the
    whole reply, methods and plan included, since an engine measures replies, not parts of them.
    """

    name = "auto_evol"

    def __init__(
        self,
        rounds: int,
        sampling: Sampling,
        elimination: Elimination,
        templates: TemplateSource | None = None,
        method: Template | None = None,
        forms: bool = False,
    ) -> None:
        self.rounds = rounds
        self._sampling = sampling
        bare = method or load_method(templates)
        self._method = replace(bare, system=load_system(METHOD_TEMPLATE.partition("/")[0], templates))
        equal = load_template(EQUAL_TEMPLATE, {"parent", "instruction"}, folder=templates)
        self._judge = Judge(elimination, equal, forms)
        self._operator = f"method:{bare.digest()}"

    def fingerprint(self) -> str:
        """A digest of rounds, method, sampling and rules."""
        parts = [
            self.name,
            str(self.rounds),
            self._method.digest(),
            described(self._sampling),
            *self._judge.fingerprint(),
        ]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()

    def evolve(self, seed: Instruction, index: int, rng: Random) -> Flow[list[Round]]:  # noqa: ARG002 (no round-robin here)
        """One prompt a round, and one more where the judge's rule is on."""

        def operator(number: int) -> str:  # noqa: ARG001 (one method for all rounds)
            return self._operator

        def step(parent: Instruction, number: int) -> Flow[Draft]:
            messages = self._method.messages(instruction=parent.instruction, input=parent.input)
            reply = yield Prompt(messages, self._sampling, draw_seed(rng), measure_confidence=True)
            return draft_of(reply, operator(number))

        return evolve_rounds(seed, self.rounds, operator, step, self._judge, rng)


def load_method(templates: TemplateSource | None = None) -> Template:
    """The initial method: the user's file where the folder `templates` has one, else the shipped prompt.

    Without a system prompt: a method is its text, whatever it is used under.
    """
    return replace(load_template(METHOD_TEMPLATE, set(REQUIRED), set(OPTIONAL), templates), system="")


def draft_of(reply: Completion, operator: str) -> Draft:
    """What a reply proposes: its final instruction, with methods and plan as the trajectory."""
    sections = parse_reply(reply.text)
    if sections.final is None:
        return Draft(reply, operator, usage_of(reply), reason=NO_FINAL_INSTRUCTION)
    final = replace(reply, text=sections.final)
    return Draft(final, operator, usage_of(reply), trajectory_json(sections))


def trajectory_json(sections: Sections) -> str:
    """How an evolution was reached: {"methods": [str, ...], "plan": str}, empty where the reply has no such heading."""
    return json.dumps({"methods": list(sections.methods), "plan": sections.plan}, ensure_ascii=False)
