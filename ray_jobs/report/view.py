"""All that the page's sections are made from, and how they name and write things."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ray_jobs.report.analysed import Analysis
from ray_jobs.report.costs import PoolCost
from ray_jobs.report.gather import Gathered
from ray_jobs.report.inputs import NOBODY, Inputs
from ray_jobs.report.selected import Selected

NONE = "–"
OFFERED: Mapping[str, str] = {
    "difficulty": "--config examples/judge.yaml",
    "difficulty_score": "--config examples/judge.yaml",
    "diversity": "--set encoder.model=sentence-transformers/all-mpnet-base-v2",
    "evolution_reward": "--set reward.model=Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
    "key_phrases": "--config examples/judge.yaml",
    "reward": "--set reward.model=Skywork/Skywork-Reward-Llama-3.1-8B-v0.2",
    "trajectories": "",
    "top1": "",
    "win": "--config examples/judge.yaml --set against=OTHER_OUTPUT",
}
"""The analyses that `evolve analyse` offers, each with what it needs on the command line."""


@dataclass(frozen=True)
class View:
    """An output as the page sees it. `place` is how a user names it in commands, `baseline` what is compared with."""

    place: str
    inputs: Inputs
    gathered: Gathered
    analyses: Mapping[str, Analysis]
    baseline: str | None
    pools: Sequence[PoolCost] = field(default_factory=list)
    selections: Sequence[Selected] = field(default_factory=list)

    def command(self, analysis: str) -> str:
        """What to type for an analysis that the output does not have."""
        return f"evolve analyse {shlex.quote(self.place)} {analysis} {OFFERED[analysis]}".rstrip()

    @property
    def evolvers(self) -> Sequence[str]:
        """The evolvers, or "" alone for pairs that were only scored."""
        return self.inputs.evolvers or [NOBODY]

    @property
    def rounds(self) -> Sequence[int]:
        """The rounds of the evolvers' records: without 0, where seeds that could not be read stand."""
        return [item for item in self.inputs.rounds if item or not self.inputs.evolvers]

    def title(self, evolver: str) -> str:
        """What an evolver is called on the page."""
        return evolver or "pairs"


def count(value: float | None) -> str:
    """A number of things."""
    return NONE if value is None else f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share; a dash where there is no whole."""
    return f"{part / whole:.1%}" if whole else NONE


def money(value: float | None) -> str:
    """An amount with as many digits as it needs to say something."""
    if value is None:
        return NONE
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.3g}"


def round_title(number: int) -> str:
    """What a round is called; 0 is that of the seeds and of pairs that were only scored."""
    return f"round {number}" if number else "as given"
