"""What a search needs before its first model is loaded: everything that can be told to be wrong is told here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from evolve.errors import TemplateError
from evolve.masking import mask_url
from evolve.method_search.config import SearchConfig
from evolve.method_search.propose import Optimiser
from evolve.prompts import check_folder, shipped_names
from evolve.strategies.auto_evol import load_method
from evolve.strategies.method import Models, TunedOn
from ray_jobs.config.identity import result_settings
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.jobs.method_search.rows import SearchRows, draw_rows
from ray_jobs.jobs.preflight import check_loaded, check_sampling, check_variables
from ray_jobs.pipeline.job import seed_source


@dataclass(frozen=True)
class Prepared:
    """A checked search: its rows, and the settings that change its result, by dotted path."""

    config: OptimizeConfig
    rows: SearchRows
    settings: dict[str, Any]

    def search_config(self, created_at: str) -> SearchConfig:
        """What the search loop is given. `created_at` is when the search began, as ISO 8601."""
        config, search = self.config, self.config.search
        evolver, optimiser, responder = (
            config.engines[config.engine_of(role)].engine.label for role in ("evolver", "optimiser", "responder")
        )
        source = ", ".join(mask_url(path) for path in seed_source(config.seeds).paths)
        return SearchConfig(
            models=Models(evolver, optimiser, responder),
            tuned_on=TunedOn(source, len(self.rows.pool), tuple(seed.seed_id for seed in self.rows.dev)),
            created_at=created_at,
            seed=config.seed,
            minibatch=search.minibatch,
            rounds=search.rounds,
            candidates=search.candidates,
            steps=search.steps,
            attempts=search.attempts,
            evolve=config.sampling.evolver.build(),
            optimise=config.sampling.optimiser.build(),
            respond=config.sampling.responder.build(),
            rules=search.rules(),
            templates=config.templates,
            forms=search.forms,
        )


def prepare(config: OptimizeConfig) -> Prepared:
    """Check a search and draw its rows. Raises ConfigError, SeedError, StorageError."""
    prompts = _prompts(config)
    for role in ("evolver", "optimiser", "responder"):
        config.engine_of(role)
    check_variables(config)
    for name, engine in config.engines.items():
        check_loaded(f"engines.{name}.engine", engine.engine)
    for role, sampling in config.sampling:
        check_sampling(f"sampling.{role}", sampling, [config.engines[config.engine_of(role)].engine])
    rows = draw_rows(config)
    drawn = {
        "seeds.dev_rows": _digest(seed.seed_id for seed in rows.dev),
        "seeds.pool_rows": _digest(seed.seed_id for seed in rows.pool),
    }
    return Prepared(config, rows, result_settings(config) | prompts | drawn)


def _prompts(config: OptimizeConfig) -> dict[str, str]:
    """The digests of the prompts, as settings."""
    try:
        if config.templates is not None:
            check_folder(config.templates, shipped_names())
        method = load_method(config.templates)
        optimiser = Optimiser.load(config.sampling.optimiser.build(), config.search.attempts, config.templates)
    except TemplateError as error:
        raise ConfigError(f"templates: {error}") from None
    return {f"templates.{item.name}": item.digest() for item in (method, optimiser.analyse, optimiser.rewrite)}


def _digest(ids: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(ids).encode(), digest_size=8).hexdigest()
