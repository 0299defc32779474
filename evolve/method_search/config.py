"""What a search for a better method is given: its settings, its engines, and the seeds set aside for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from evolve.described import BEFORE
from evolve.engine import Engine
from evolve.errors import SearchError
from evolve.records import Sampling
from evolve.strategies.elimination import Elimination
from evolve.strategies.method import Models, TunedOn
from evolve.strategies.respond import GREEDY


@dataclass(frozen=True)
class SearchConfig:
    """What determines a search, beside its rows. Defaults are arXiv 2406.00770's where it gives one.

    `rounds` is how often the mini-batch is evolved before it is analysed. `steps` bounds the steps, each with
    `candidates` candidates; `attempts` is how often the optimiser is asked before a candidate counts as lost.
    `rules` turn evolutions down as in a run; such a dev row counts as failed, or a method that changes nothing
    would never fail. `templates` is a folder whose files replace the shipped prompts. With `forms` the optimiser can
    reply with nothing but a method, and the judge of the rule `equal` with nothing but a verdict.
    """

    models: Models
    tuned_on: TunedOn
    created_at: str
    seed: int = 0
    minibatch: int = 10
    rounds: int = 3
    candidates: int = 5
    steps: int = 10
    attempts: int = 3
    evolve: Sampling = GREEDY
    optimise: Sampling = field(default=Sampling(temperature=0.6, top_p=0.95))
    respond: Sampling = GREEDY
    rules: Elimination = field(default=Elimination())
    templates: Path | None = None
    forms: bool = field(default=False, metadata={BEFORE: False})


@dataclass(frozen=True, slots=True)
class Engines:
    """Who does what. One engine may take several parts."""

    evolver: Engine
    optimiser: Engine
    responder: Engine


@dataclass(frozen=True, slots=True)
class SetAside:
    """Places, 0-based, of the seeds that a search uses: those it measures on, and those it draws mini-batches from."""

    dev: tuple[int, ...]
    pool: tuple[int, ...]


def set_aside(seeds: int, dev: int, pool: int, minibatch: int, rng_seed: int) -> SetAside:
    """Draw `dev` dev rows and up to `pool` further rows from `seeds` seeds, without overlap.

    Raises SearchError where there are too few seeds for the dev rows and one mini-batch.
    """
    if dev < 1:
        raise SearchError(f"the dev set: expected at least 1 row, got {dev}")
    if dev > seeds:
        raise SearchError(f"the dev set: {dev} rows asked for, but there are only {seeds} seeds")
    if min(pool, seeds - dev) < minibatch:
        raise SearchError(
            f"the mini-batch: {minibatch} rows asked for, but {min(pool, seeds - dev)} of {seeds} seeds are "
            f"set aside for it beside the {dev} dev rows"
        )
    drawn = Random(f"{rng_seed} set aside").sample(range(seeds), min(dev + pool, seeds))
    return SetAside(tuple(drawn[:dev]), tuple(drawn[dev:]))
