"""The seeds that a search for a better method uses: dev rows to measure on, others to draw mini-batches from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from evolve.errors import SearchError
from evolve.method_search.config import set_aside
from evolve.records import Instruction
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.pipeline.job import seed_source
from ray_jobs.seeds.read import Seed, SeedSource, read_seeds


@dataclass(frozen=True)
class SearchRows:
    """Seeds in the order in which they were drawn. `seeds` is how many there were to draw from."""

    seeds: int
    dev: list[Seed]
    pool: list[Seed]


def draw_rows(config: OptimizeConfig) -> SearchRows:
    """Draw the search's rows. Reads the seeds twice, so that memory does not grow with them.

    Raises ConfigError where there are too few seeds, SeedError and StorageError as `read_seeds` does.
    """
    source, search = seed_source(config.seeds, config.output), config.search
    total = _count(source)
    try:
        aside = set_aside(total, search.dev_rows, search.pool_rows, search.minibatch, config.seed)
    except SearchError as error:
        raise ConfigError(f"search: {error}") from None
    found = _pick(source, {*aside.dev, *aside.pool})
    return SearchRows(total, [found[place] for place in aside.dev], [found[place] for place in aside.pool])


def task(seed: Seed) -> Instruction:
    """A seed as the search takes it."""
    return Instruction(seed.instruction, seed.input, seed.output)


def _count(source: SeedSource) -> int:
    total = 0
    for batch in read_seeds(source):
        total = batch.report.seeds
    return total


def _pick(source: SeedSource, places: Collection[int]) -> dict[int, Seed]:
    seeds = (seed for batch in read_seeds(source) for seed in batch.seeds)
    return {index: seed for index, seed in enumerate(seeds) if index in places}
