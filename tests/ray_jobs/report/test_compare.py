"""The paired comparison against one that goes through plain lists, seed by seed and draw by draw."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from ray_jobs.report import compare as comparison
from ray_jobs.report.blocks import Note
from ray_jobs.report.compare import KEPT_SHARE, TOKENS, compare
from ray_jobs.report.comparison import comparison_section
from ray_jobs.report.gather import Gathered, gather
from ray_jobs.report.inputs import read_inputs
from ray_jobs.report.seeds import SeedSample, SeedSums
from ray_jobs.report.view import View
from ray_jobs.storage.store import Store
from tests.ray_jobs.datasets.outputs import Record
from tests.ray_jobs.report.compared import write_compared

SEEDS = 14
Statistic = Callable[[Sequence[int]], float | None]


@pytest.fixture
def records(output_of_two: tuple[Store, list[Record]]) -> list[Record]:
    return output_of_two[1]


@pytest.fixture
def output_of_two(target: Store) -> tuple[Store, list[Record]]:
    found = write_compared(target, SEEDS, parts=3, rounds=3)
    return target, found


@pytest.fixture
def gathered(output_of_two: tuple[Store, list[Record]]) -> Gathered:
    return gather(read_inputs(output_of_two[0]), lambda _: None)


def of(records: list[Record], evolver: str, seed: int, number: int | None) -> list[Record]:
    return [
        record
        for record in records
        if (record["evolver"], record["seed_index"]) == (evolver, seed) and number in (None, record["round"])
    ]


def kept(records: list[Record]) -> list[Record]:
    return [record for record in records if "status" not in record]


def mean_difference(records: list[Record], value: Callable[[Record], float], number: int | None) -> Statistic:
    """The mean over the drawn seeds that have a kept record of both, of the difference of their means."""
    each: dict[int, float] = {}
    for seed in range(SEEDS):
        small, large = (kept(of(records, name, seed, number)) for name in ("small", "large"))
        if small and large:
            each[seed] = statistics.fmean(map(value, small)) - statistics.fmean(map(value, large))

    def statistic(drawn: Sequence[int]) -> float | None:
        found = [each[seed] for seed in drawn if seed in each]
        return statistics.fmean(found) if found else None

    return statistic


def ratio_difference(
    records: list[Record], above: Callable[[list[Record]], float], below: Callable[[list[Record]], float], number: int
) -> Statistic:
    def ratio(evolver: str, drawn: Sequence[int]) -> float | None:
        found = [item for seed in drawn for item in of(records, evolver, seed, number)]
        return above(found) / below(found) if below(found) else None

    def statistic(drawn: Sequence[int]) -> float | None:
        small, large = ratio("small", drawn), ratio("large", drawn)
        return None if small is None or large is None else small - large

    return statistic


def bootstrap(statistic: Statistic) -> list[float]:
    """Both bounds, from the draws that `compare` makes too."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(0, SEEDS, SEEDS).tolist()) for _ in range(comparison.RESAMPLES)]
    return [float(item) for item in np.percentile([item for item in drawn if item is not None], [2.5, 97.5])]


@pytest.mark.parametrize("number", [None, 2])
def test_means_are_those_of_a_computation_by_hand(
    gathered: Gathered, records: list[Record], number: int | None
) -> None:
    assert gathered.sums
    found = {item.measure: item for item in compare(gathered.sums, "small", "large", number)}
    values: dict[str, Callable[[Record], float]] = {
        "ifd": lambda item: item["loss_a_given_q"] / item["loss_a"],
        "ic_ifd": lambda item: item["loss_a_given_q"] / item["loss_a"] / item["loss_q"],
        "mean_top1_prob": lambda item: item["mean_top1_prob"],
        "instruction_words": lambda item: len(item["instruction"].split()),
    }
    for name, value in values.items():
        statistic = mean_difference(records, value, number)
        assert found[name].difference == pytest.approx(statistic(range(SEEDS)))
        assert [found[name].low, found[name].high] == pytest.approx(bootstrap(statistic))
    assert "difficulty_score" not in found  # nobody has measured it


def test_ratios_are_those_of_a_computation_by_hand(gathered: Gathered, records: list[Record]) -> None:
    assert gathered.sums
    found = {item.measure: item for item in compare(gathered.sums, "small", "large", 3)}

    def tokens(ones: list[Record]) -> float:
        return sum(item["prompt_tokens"] + item["completion_tokens"] for item in ones)

    for name, above, below in (
        (KEPT_SHARE, lambda ones: len(kept(ones)), len),
        (TOKENS, tokens, lambda ones: len(kept(ones))),
    ):
        statistic = ratio_difference(records, above, below, 3)
        assert found[name].difference == pytest.approx(statistic(range(SEEDS)))
        assert [found[name].low, found[name].high] == pytest.approx(bootstrap(statistic))
        assert found[name].seeds == SEEDS


def test_an_evolver_does_not_differ_from_itself(gathered: Gathered) -> None:
    assert gathered.sums
    for item in compare(gathered.sums, "small", "small", None):
        assert (item.difference, item.low, item.high, item.clear) == (0, 0, 0, False)


def test_values_by_record_id_reach_their_seed(gathered: Gathered, records: list[Record]) -> None:
    assert gathered.sums
    ones = kept(records)
    ids = pa.array([item["record_id"] for item in ones] + ["of no record"])
    scores = np.array([float(item["seed_index"] + (item["evolver"] == "small")) for item in ones] + [1e9])
    gathered.sums.add_by_record("difficulty_score", ids, scores)
    found = {item.measure: item for item in compare(gathered.sums, "small", "large", None)}
    assert found["difficulty_score"].difference == pytest.approx(1)
    assert found["difficulty_score"].low == pytest.approx(1)


def test_one_seed_has_no_interval(target: Store) -> None:
    write_compared(target, 1)
    gathered = gather(read_inputs(target), lambda _: None)
    assert gathered.sums
    assert {(item.low, item.high) for item in compare(gathered.sums, "small", "large", None)} == {(None, None)}


def test_evolvers_that_split_the_seeds_are_not_compared(gathered: Gathered) -> None:
    assert gathered.sums
    gathered.sums.ended[0, :, ::2] = gathered.sums.ended[1, :, 1::2] = 0
    assert compare(gathered.sums, "small", "large", None) == []


def test_a_sample_of_seeds_is_spread_and_always_the_same() -> None:
    sample, again = SeedSample(10_000, 100), SeedSample(10_000, 100)
    slots = sample.slots(pa.array([*range(10_000), None, 20_000, -3], pa.int64()))
    assert slots.tolist() == again.slots(pa.array([*range(10_000), None, 20_000, -3], pa.int64())).tolist()
    assert sorted(slots[slots >= 0].tolist()) == list(range(100))
    assert slots[10_000:].tolist() == [-1, -1, -1]
    assert 3000 < np.flatnonzero(slots >= 0).mean() < 7000


def test_seeds_outside_the_sample_are_left_out(output_of_two: tuple[Store, list[Record]]) -> None:
    store, records = output_of_two
    inputs = read_inputs(store)
    sums = SeedSums(SeedSample(SEEDS, 5), inputs.evolvers, inputs.rounds, ["ifd"])
    assert inputs.kept
    for batch in inputs.kept.batches():
        sums.add(batch, True, {"ifd": np.ones(batch.num_rows)})
    chosen = np.flatnonzero(sums.sample.slots(pa.array(range(SEEDS))) >= 0).tolist()
    assert sums.kept.sum() == sum(item["seed_index"] in chosen for item in kept(records))
    assert sums.kept.sum() == sums.counts["ifd"].sum() > 0
    view = View(store.url, inputs, Gathered(sums), {}, "large")
    notes = " ".join(block.text for block in comparison_section(view).blocks if isinstance(block, Note))
    assert "a random sample of 5 of 14 seeds" in notes
    assert "(5 seeds for small)" in notes
    assert "With fewer than 20 seeds such intervals are too narrow." in notes
