"""In which ways an instruction was evolved, as key phrases that a model writes (arXiv 2412.11231, Section 3.3).

The rule of `evolve.strategies.trajectories` costs nothing and reads methods by their beginnings; a model also sees
through other words for the same way.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from evolve.flow import Flow
from evolve.judging.asking import ask, digest
from evolve.judging.records import GREEDY, Case, Finding, Judged
from evolve.prompts import load_template
from evolve.records import Completion, Rejected, Sampling
from evolve.strategies.rounds import usage_of
from evolve.strategies.trajectories import described

MAX_WORDS = 6
_MARKER = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.):])\s*")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class KeyPhrases:
    """Asks what was done to a task. The case's answer is the record's trajectory as JSON."""

    def __init__(self, templates: Path | None = None, sampling: Sampling = GREEDY) -> None:
        self._sampling = sampling
        self._template = load_template("judging/key_phrases", {"methods", "plan"}, folder=templates, literal=True)

    def fingerprint(self) -> str:
        """A digest of template and sampling."""
        return digest("key_phrases", [self._template], self._sampling)

    def ask(self, case: Case, rng: Random) -> Flow[Finding]:
        """One prompt. A reply without a phrase rejects the case as "no_phrases"."""
        methods, plan = described(case.side.answer)
        messages = self._template.messages(methods="\n".join(f"- {method}" for method in methods or ()), plan=plan)
        reply = yield from ask(messages, self._sampling, rng)
        if not isinstance(reply, Completion):
            return reply
        usage, phrases = usage_of(reply), read_phrases(reply.text)
        if not phrases:
            return Rejected("no_phrases", reply.text, usage=usage, finish_reason=reply.finish_reason)
        return Judged({"phrases": phrases}, usage)


def read_phrases(text: str) -> list[str]:
    """The distinct phrases of a reply in lower case, one a line or parted by commas; lines that are sentences fall."""
    lines = [_MARKER.sub("", line) for line in text.splitlines() if not line.rstrip().endswith(":")]
    found = [" ".join(_WORD.findall(part.lower())) for line in lines for part in re.split(r"[,;]", line)]
    return list(dict.fromkeys(phrase for phrase in found if phrase and len(phrase.split()) <= MAX_WORDS))
