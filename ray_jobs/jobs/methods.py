"""Saved methods of Auto Evol-Instruct in storage: read for a run by the driver, so that actors need no file."""

from __future__ import annotations

from evolve.errors import TemplateError
from evolve.strategies.method import Method
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import ConfigError, MissingFile
from ray_jobs.storage.store import open_store


def saved_method(run: RunConfig) -> Method | None:
    """The method that the run's strategy names; None where it names none.

    Raises ConfigError where there is no such file or it is no method file, StorageError where it cannot be reached.
    """
    url = run.strategy.saved_method()
    if url is None:
        return None
    folder, slash, name = url.rpartition("/")
    options = run.storage if _scheme(url) == _scheme(run.output) else {}
    try:
        return Method.from_json(open_store(folder or slash or ".", options).read_bytes(name), url)
    except (MissingFile, TemplateError) as error:
        raise ConfigError(f"strategy.method: {error}") from None


def held_out(method: Method | None) -> frozenset[str]:
    """The ids of the seeds that a run leaves alone, because its method was measured on them."""
    return frozenset(method.tuned_on.dev_ids) if method else frozenset()


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else ""
