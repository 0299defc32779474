"""Key phrases of methods, and how many distinct ones a sample holds."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.strategies.trajectories import expected_distinct, key_phrase, phrases, smallest


@pytest.mark.parametrize(
    ("method", "phrase"),
    [
        ("Add a constraint: limit the answer to 50 words.", "add constraint"),
        ("Increase the Complexity - use nested data", "increase complexity"),
        ("Ask for well-known examples (three of them)", "ask well-known examples"),
        ("Require the solver to derive every formula used from scratch", "require solver derive every formula"),
        ("...: combine topics", "combine topics"),
        ("of the", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_key_phrase_of_a_method(method: str, phrase: str) -> None:
    assert key_phrase(method) == phrase


def test_a_record_counts_each_phrase_once_and_without_methods_its_operator() -> None:
    trajectory = json.dumps({"methods": ["Narrow it: a", "narrow IT (b)", "Deepen", "the"], "plan": "all"})
    assert phrases(trajectory, "method:abc") == ["narrow", "deepen"]
    assert phrases(None, "deepen") == ["deepen"]
    assert phrases(json.dumps({"constraint": "Use no commas.", "accuracy": 1.0}), "constraint") == ["constraint"]
    assert phrases(None, None) == []


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_expected_distinct_is_the_mean_over_all_samples(sizes: list[int], data: st.DataObject) -> None:
    counts = Counter({str(number): size for number, size in enumerate(sizes)})
    sample = data.draw(st.integers(0, counts.total()))
    draws = list(combinations(counts.elements(), sample))
    # combinations tells equal elements apart by their place, as drawing without replacement does
    brute = sum(len(set(draw)) for draw in draws) / len(draws)
    assert expected_distinct(counts, sample) == pytest.approx(brute)


def test_groups_compare_at_the_smallest_that_has_any() -> None:
    assert smallest([Counter(a=3, b=1), Counter(), Counter(a=2)]) == 2
    assert smallest([]) == 0
