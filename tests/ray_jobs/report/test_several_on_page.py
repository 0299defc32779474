"""What the page shows of several answers, recomputed from the records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evolve.choosing import Choice
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.several import settle_choice
from ray_jobs.report.answers import answers_section
from ray_jobs.report.blocks import Figure, Table
from ray_jobs.report.gather import gather
from ray_jobs.report.inputs import read_inputs
from ray_jobs.report.spending import cost_section
from ray_jobs.report.view import View
from ray_jobs.storage.store import Store
from tests.ray_jobs.datasets.outputs import Record, record, write_output

CHOICE = Choice("agreement", against="all")


def answered(number: int, scores: list[float | None]) -> Record:
    """A record whose output was chosen by these scores."""
    item: RoundRow = {
        "answers": [f"{number} {place}" for place in range(len(scores))],
        "answer_reasoning": [None] * len(scores),
        "answer_finish_reasons": ["stop"] * len(scores),
        "answer_matches": None,
        "answer_faults": ["refusal" if score is None else None for score in scores],
    }
    settle_choice(item, scores, CHOICE)
    del item["reasoning"]
    return record(number, evolver="only", prompt_tokens=10, completion_tokens=20, **item)


def test_scores_spreads_and_pairs_are_those_of_the_records(target: Store) -> None:
    draws = np.random.default_rng(5)
    drawn: list[list[Any]] = [draws.choice([0.25, 0.5, 0.75, None], 4).tolist() for _ in range(40)]
    drawn = [scores if any(scores) else [0.5, *scores[1:]] for scores in drawn]
    write_output(
        target,
        [
            [answered(number, scores) for number, scores in enumerate(drawn)],
            [record(100, evolver="only", prompt_tokens=0, completion_tokens=0)],
        ],
    )
    gathered = gather(read_inputs(target), lambda _: None)
    found = gathered.choices.chosen["only", "agreement"]
    known = [[score for score in scores if score is not None] for scores in drawn]
    best = [max(scores) for scores in known]
    assert found.outputs.mean == pytest.approx(np.mean(best))
    assert found.others.n == sum(map(len, known)) - len(known)
    assert found.others.total == pytest.approx(sum(map(sum, known)) - sum(best))
    assert found.mean_spread == pytest.approx(np.mean([max(scores) - min(scores) for scores in known]))
    pairs = sum(score < max(scores) for scores in known for score in scores)
    assert gathered.choices.pairs["only"] == pairs > 0
    view = View("out", read_inputs(target), gathered, {}, None)
    (section,) = answers_section(view)
    shown = [block for block in section.blocks if isinstance(block, Table)]
    means = [np.mean(best), found.others.mean, found.mean_spread]
    assert shown[0].rows == [["only", "40", *(f"{mean:.3f}" for mean in means)]]
    assert [block.name for block in section.blocks if isinstance(block, Figure)] == ["answers-agreement"]
    costs = [block for block in cost_section(view).blocks if isinstance(block, Table)]
    assert ["only", str(pairs), f"{40 * 30 / pairs:.0f}", "\N{EN DASH}"] in costs[1].rows


def test_a_run_with_one_answer_each_has_no_such_section(target: Store) -> None:
    write_output(target, [[record(number, evolver="only") for number in range(6)]])
    gathered = gather(read_inputs(target), lambda _: None)
    assert answers_section(View("out", read_inputs(target), gathered, {}, None)) == []
    assert not gathered.choices.pairs["only"]
