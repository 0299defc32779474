"""A few seeds through everything that a configuration names, with nothing written: by engines here or of a service."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evolve.prompts import TemplateSource
from evolve.records import Instruction
from ray_jobs.config.engines import build_responder
from ray_jobs.config.load import read_raw, validated
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.preflight import check
from ray_jobs.pipeline.job import seed_source
from ray_jobs.seeds.guess import guess
from ray_jobs.seeds.read import Seed, SeedSource, read_seeds
from ray_jobs.service.asked_strategy import Asked
from ray_jobs.service.client import ServiceClient
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engines import roster
from ray_jobs.service.local_engines import LocalEngines, on_cards
from ray_jobs.service.trying import Told, Wish, trials

AT_ONCE = 4
"""Seeds under way at a service, which has others to serve."""


@dataclass(frozen=True)
class Previewed:
    """What is tried: the configuration, as it was read and checked, and its first seeds or those of a file."""

    raw: Mapping[str, Any]
    config: ServedRunConfig
    seeds: Sequence[Seed]


@dataclass(frozen=True)
class Tried:
    """What became of a seed: one of `results` an evolver, as `POST /v1/evolve` gives them."""

    instruction: str
    input: str
    results: Sequence[Told]


class Trier(Protocol):
    """Something that takes seeds through everything, under other templates from one try to the next."""

    async def tried(self, templates: TemplateSource | None) -> list[Tried]:
        """What becomes of each seed under these templates, None for the configuration's own. Raises ConfigError."""
        ...

    async def close(self) -> None:
        """Free what it holds."""
        ...


def read(config: Path, overrides: Sequence[str], rows: int, seed_file: str | None) -> Previewed:
    """Read a configuration and its first `rows` seeds, or those of `seed_file`. Raises ConfigError and SeedError."""
    raw = read_raw(config, overrides)
    checked = validated(ServedRunConfig, raw, str(config))
    source = guess(seed_file).source if seed_file else seed_source(checked.seeds, checked.output)
    return Previewed(raw, checked, _first(source, rows))


def _first(source: SeedSource, rows: int) -> list[Seed]:
    batches = itertools.chain.from_iterable(batch.seeds for batch in read_seeds(source))
    return list(itertools.islice(batches, rows))


class HereTrier:
    """Tries on engines in this process. Raises ConfigError for what can be told to be wrong before one is loaded."""

    def __init__(self, what: Previewed, loading: Callable[[str], None]) -> None:
        self._what, self.roster = what, roster(what.config)
        self._engines = LocalEngines(self.roster, loading=loading)

    @property
    def stays_warm(self) -> bool:
        """Whether all engines are still loaded at the next try: on cards they take turns."""
        return not on_cards(self.roster)

    async def tried(self, templates: TemplateSource | None) -> list[Tried]:
        """As Trier says."""
        config = self._what.config
        if templates is not None:
            config = config.model_copy(update={"strategy": config.strategy.model_copy(update={"templates": templates})})
        checked = check(config)
        asked = Asked(checked.strategy, build_responder(config, checked.response))
        evolvers = list(self.roster.evolvers().values())
        score = config.scorer is not None

        async def one(index: int, seed: Seed) -> Tried:
            task = Instruction(seed.instruction, seed.input)
            wish = Wish(asked, task, evolvers, config.seed, index, True, score)
            results = [told async for kind, told in trials(self._engines, wish) if kind == "result"]
            return Tried(seed.instruction, seed.input, results)

        found = await asyncio.gather(*(one(index, seed) for index, seed in enumerate(self._what.seeds)))
        if self._engines.failed:
            raise self._engines.failed
        return list(found)

    async def close(self) -> None:
        """As Trier says."""
        await self._engines.close()


class ServiceTrier:
    """Tries on the warm engines of a service, which must know the evolvers by name."""

    def __init__(self, what: Previewed, client: ServiceClient) -> None:
        self._what, self._client = what, client

    async def tried(self, templates: TemplateSource | None) -> list[Tried]:
        """As Trier says."""
        what, turns = self._what, asyncio.Semaphore(AT_ONCE)
        strategy = dict(what.raw.get("strategy") or {})
        own = what.config.strategy.templates if templates is None else templates
        if own is not None:
            # a service takes no folder's name from its clients
            strategy["templates"] = texts_of(own)
        asked = {
            "strategy": strategy,
            "evolvers": list(what.config.evolvers),
            "seed": what.config.seed,
            "respond": True,
            "score": what.config.scorer is not None,
        }

        async def one(index: int, seed: Seed) -> Tried:
            body = {"instruction": seed.instruction, "input": seed.input, "index": index, **asked}
            async with turns:
                answer = await self._client.post("/v1/evolve", body)
            return Tried(seed.instruction, seed.input, answer["results"])

        return list(await asyncio.gather(*(one(index, seed) for index, seed in enumerate(what.seeds))))

    async def close(self) -> None:
        """As Trier says."""
        await self._client.close()


def texts_of(templates: TemplateSource) -> dict[str, str]:
    """Templates by name. Raises ConfigError where a file cannot be read as text."""
    if not isinstance(templates, Path):
        return dict(templates)
    try:
        return {
            path.relative_to(templates).with_suffix("").as_posix(): path.read_text(encoding="utf-8-sig")
            for path in sorted(templates.rglob("*.txt"))
        }
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"strategy.templates: {templates}: cannot be read: {error}") from None


def outcomes(tried: Sequence[Tried]) -> dict[str, dict[str, int]]:
    """Of each evolver, how many rounds ended how: by `kept`, or the status and the reason."""
    found = dict[str, Counter[str]]()
    for item in tried:
        for result in item.results:
            counts = found.setdefault(result["evolver"], Counter())
            for told in result["rounds"]:
                counts[": ".join(filter(None, (told["outcome"], told["reason"])))] += 1
            last = result["rounds"][-1]["outcome"] if result["rounds"] else None
            if result["outcome"] != last:
                counts[f"response {result['outcome']}: {result['reason']}"] += 1
    return {name: dict(counts) for name, counts in found.items()}
