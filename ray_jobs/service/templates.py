"""A prompt template as a file of a person's own, to be changed and tried."""

from __future__ import annotations

from pathlib import Path

from evolve.prompts import SHIPPED, shipped_names
from ray_jobs.config.strategies import EvolvingConfig
from ray_jobs.errors import ConfigError

FOLDER = Path("templates")
"""Where templates are put by whom the configuration names no folder."""


def own_copy(strategy: EvolvingConfig, name: str) -> Path:
    """The file of the template `name` in the strategy's own folder of templates, made of the shipped one at first.

    Raises ConfigError where there is no such template, or the configuration holds the texts themselves.
    """
    folder = strategy.templates if strategy.templates is not None else FOLDER
    if not isinstance(folder, Path):
        raise ConfigError("strategy.templates: expected a folder with --edit, got the texts themselves")
    homes = [home for home in (strategy.own_templates, SHIPPED) if home is not None]
    known = {known: home for home in reversed(homes) for known in shipped_names(home)}
    if name not in known:
        raise ConfigError(f"--edit {name}: expected a template, one of {', '.join(sorted(known))}")
    file = folder / f"{name}.txt"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text((known[name] / f"{name}.txt").read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--edit {name}: {file} cannot be written: {error.strerror}") from None
    return file
