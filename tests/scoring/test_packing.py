"""Packs and batches: everything once, within the budget, hardly any padding."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring import Pair
from scoring.memory import budget_from_memory, free_host_memory
from scoring.packing import MAX_PADDING, Run, pack, pad, runs, starts

lengths_and_budget = st.tuples(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 600))


@given(lengths_and_budget)
def test_packs_hold_each_sequence_once_within_the_budget(case: tuple[list[int], int]) -> None:
    lengths, budget = case
    packs = pack(lengths, budget)
    assert sorted(chain.from_iterable(packs)) == list(range(len(lengths)))
    assert all(len(pack) == 1 or sum(lengths[i] for i in pack) <= budget for pack in packs)


@given(lengths_and_budget)
def test_padded_batches_hold_each_sequence_once_within_the_budget(case: tuple[list[int], int]) -> None:
    lengths, budget = case
    batches = pad(lengths, budget)
    assert sorted(chain.from_iterable(batches)) == list(range(len(lengths)))
    for batch in batches:
        size = len(batch) * max(lengths[i] for i in batch)
        assert len(batch) == 1 or size <= budget
        assert size - sum(lengths[i] for i in batch) <= MAX_PADDING * size + 1e-9


def test_the_last_pack_is_no_remainder() -> None:
    assert [len(item) for item in pack([10] * 11, 100)] == [6, 5]


def test_every_worker_has_a_pack() -> None:
    assert [len(item) for item in pack([10] * 12, 1000, workers=4)] == [3, 3, 3, 3]
    assert [len(item) for item in pack([10] * 12, 60, workers=3)] == [4, 4, 4]


def test_runs_join_neighbours_of_equal_length() -> None:
    assert list(runs([7, 7, 5, 3, 3, 3])) == [Run(0, 2, 7), Run(14, 1, 5), Run(19, 3, 3)]


def test_starts_with_and_without_padding() -> None:
    assert starts([7, 5, 3], padded=False) == [0, 7, 12]
    assert starts([7, 5, 3], padded=True) == [0, 7, 14]


@pytest.mark.parametrize("budget", [1024, 2048, 8192])
def test_padding_stays_under_five_percent_of_real_rows(alpaca: list[Pair], budget: int) -> None:
    lengths = [len(text.split()) + 2 for p in alpaca for text in (f"{p.question}\n{p.output}", p.output)]
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in pad(lengths, budget))
    assert 1 - sum(lengths) / padded <= 0.05


def test_the_budget_follows_free_memory_between_floor_and_ceiling() -> None:
    assert budget_from_memory(free=10_000_000, bytes_per_token=1000, ceiling=100_000) == 5000
    assert budget_from_memory(free=10_000_000, bytes_per_token=1000, ceiling=2048) == 2048
    assert budget_from_memory(free=0, bytes_per_token=1000, ceiling=2048) == 256


def test_this_machines_free_memory_is_plausible() -> None:
    free = free_host_memory()
    assert free is None or 2**20 < free < 2**50
