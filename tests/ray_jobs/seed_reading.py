"""Seeds as tests read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray_jobs.seeds.read import BadSeed, Seed, SeedSource, read_seeds
from ray_jobs.seeds.report import SeedReport


def read(*paths: Path | str, **options: Any) -> tuple[list[Seed], list[BadSeed], SeedReport]:
    """All seeds and bad rows of a source, and its report."""
    batches = list(read_seeds(SeedSource(tuple(map(str, paths)), **options)))
    report = batches[-1].report
    assert report.read == report.seeds + report.duplicates + sum(report.bad.values())
    return [seed for b in batches for seed in b.seeds], [bad for b in batches for bad in b.bad], report


def texts(*paths: Path | str, **options: Any) -> list[str]:
    """The instructions of a source that has no bad row."""
    seeds, bad, _ = read(*paths, **options)
    assert not bad
    return [seed.instruction for seed in seeds]
