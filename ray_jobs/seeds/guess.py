"""Guesses how seeds are read: the first layout and names of columns under which a source has seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ray_jobs.errors import SeedError
from ray_jobs.seeds.read import Seed, SeedSource, read_seeds

INSTRUCTIONS = ("instruction", "prompt", "question", "problem", "query", "task", "text")
TURNS = ("messages", "conversations", "conversation")


@dataclass(frozen=True, slots=True)
class Guess:
    """How a source can be read, and its first seeds under that reading."""

    source: SeedSource
    samples: list[Seed]


def guess(path: str, samples: int = 3) -> Guess:
    """The first reading of `path`, a file, folder, glob or URL, that gives seeds.

    Raises SeedError where none does, with the names that were tried; StorageError where storage fails.
    """
    for source in _readings(path):
        try:
            batches = list(read_seeds(replace(source, limit=samples)))
        except SeedError:
            continue
        return Guess(source, list(itertools.chain.from_iterable(batch.seeds for batch in batches)))
    # files that cannot be read at all say why themselves
    try:
        list(read_seeds(SeedSource((path,), limit=samples)))
    except SeedError as error:
        raise SeedError(f"{error}; also tried as the instruction: {', '.join(INSTRUCTIONS[1:])}") from error
    raise AssertionError("the first reading was tried before")


def _readings(path: str) -> Iterator[SeedSource]:
    for name in INSTRUCTIONS:
        yield SeedSource((path,), columns={} if name == "instruction" else {"instruction": name})
    for name in TURNS:
        yield SeedSource((path,), layout="messages", columns={"conversation": name})
