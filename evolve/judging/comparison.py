"""Whose answer a judge finds better, asked in both orders (arXiv 2412.11231, Figure 6).

Judges favour a place. So each case is put twice, the sides exchanged: where the two verdicts name different sides, or
one of them neither, the case is a tie, and the record says that they disagreed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from evolve.alternatives import expectation
from evolve.flow import Flow
from evolve.judging.asking import ask, digest
from evolve.judging.records import GREEDY, Case, Finding, Judged, Side
from evolve.judging.verdicts import Place, read_place
from evolve.prompts import load_template
from evolve.records import Completion, Form, Message, Rejected, Sampling, Usage
from evolve.strategies.rounds import usage_of

PLACE_FORM = Form(choices=("A", "B", "TIE"))
SCORES = {"win": 1.0, "tie": 0.5, "lose": 0.0}


class Comparison:
    """Asks which side of a case is better: of two answers where the tasks are the same, of two pairs otherwise.

    With `expected` the mean of the scores under the verdicts' probabilities is found too, over both orders.
    """

    def __init__(
        self,
        templates: Path | None = None,
        sampling: Sampling = GREEDY,
        forms: bool = False,
        expected: bool = False,
    ) -> None:
        self._sampling, self._form, self._expected = sampling, PLACE_FORM if forms else None, expected
        answers = {"task", "answer_a", "answer_b"}
        pairs = {"task_a", "answer_a", "task_b", "answer_b"}
        self._answers = load_template("judging/compare_answers", answers, folder=templates, literal=True)
        self._pairs = load_template("judging/compare_pairs", pairs, folder=templates, literal=True)

    def fingerprint(self) -> str:
        """A digest of templates and sampling."""
        return digest("comparison", [self._answers, self._pairs], self._sampling, self._form)

    def ask(self, case: Case, rng: Random) -> Flow[Finding]:
        """Two prompts. A reply that cannot be read in either order rejects the case as "no_verdict"."""
        assert case.other is not None, "a comparison has two sides"
        usage, found, expected = Usage(), list[str](), list[float | None]()
        answers = PLACE_FORM.choices if self._expected else ()
        for first, second, names in ((case.side, case.other, _FORWARD), (case.other, case.side, _BACKWARD)):
            reply = yield from ask(self._messages(first, second), self._sampling, rng, self._form, answers)
            if not isinstance(reply, Completion):
                return replace(reply, usage=usage + reply.usage)
            usage += usage_of(reply)
            place = read_place(reply.text)
            if place is None:
                return Rejected("no_verdict", reply.text, usage=usage, finish_reason=reply.finish_reason)
            found.append(names[place])
            expected.append(expectation({side: SCORES[name] for side, name in names.items()}, reply.probabilities))
        agreed = found[0] == found[1]
        verdict = found[0] if agreed else "tie"
        weighed = {"expected_win_score": _mean(expected)} if self._expected else {}
        return Judged({"verdict": verdict, "agreed": agreed, "win_score": SCORES[verdict], **weighed}, usage)

    def _messages(self, first: Side, second: Side) -> tuple[Message, ...]:
        answers = {"answer_a": first.answer, "answer_b": second.answer}
        if first.task.text == second.task.text:
            return self._answers.messages(task=first.task.text, **answers)
        return self._pairs.messages(task_a=first.task.text, task_b=second.task.text, **answers)


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


_FORWARD: dict[Place, str] = {"A": "win", "B": "lose", "TIE": "tie"}
_BACKWARD: dict[Place, str] = {"A": "lose", "B": "win", "TIE": "tie"}
