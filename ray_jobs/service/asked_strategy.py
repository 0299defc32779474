"""The strategy that a client asks for: its settings over the service's own, its templates as texts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.errors import EvolveError
from evolve.flow import Strategy
from evolve.prompts import shipped_names
from evolve.strategies.respond import Responder, load_response_template
from ray_jobs.config.base import Strict
from ray_jobs.config.engines import build_responder, build_strategy
from ray_jobs.config.load import validated
from ray_jobs.config.strategies import EvolvingConfig, StrategyConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.methods import saved_method
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.starting import refuse

WRONG = "the request is wrong\n  "
TEMPLATES = "strategy.templates"


class _Asked(Strict):
    strategy: StrategyConfig


@dataclass(frozen=True)
class Asked:
    """What evolves and what answers."""

    strategy: Strategy
    responder: Responder


def over_own(sent: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy's settings as sent; what they do not say is as the service's own, where that is of the same kind."""
    kind = own.get("kind", "evol_instruct")
    return {**own, **sent} if sent.get("kind", kind) == kind else dict(sent)


def asked_strategy(
    config: ServedRunConfig, own: Mapping[str, Any], sent: Mapping[str, Any], rounds: int | None
) -> Asked:
    """The strategy of settings that were `sent`, over the service's `own`. Raises ConfigError, and Refused.

    `templates` may be texts by name, such as evol_instruct/deepen, which replace those of the service.
    """
    inline = sent.get("templates")
    plain = {name: value for name, value in sent.items() if name != "templates" or not isinstance(inline, Mapping)}
    refuse({"strategy": plain}, {"strategy": own}, allow=config.service.allow)
    whole = over_own(plain, own) | ({"rounds": rounds} if rounds is not None else {})
    strategy = validated(_Asked, {"strategy": whole}, "the request").strategy
    if strategy.rounds > (most := config.service.limits.rounds):
        raise ConfigError(f"{WRONG}strategy.rounds: expected at most {most}, got {strategy.rounds}")
    run = config.model_copy(update={"strategy": strategy})
    with _templates(strategy, inline if isinstance(inline, Mapping) else {}) as folder:
        changed = strategy.model_copy(update={"templates": folder})
        try:
            built = build_strategy(changed, saved_method(run))
            response = load_response_template(config.responder.prompt, folder)
        except EvolveError as error:
            told = str(error).replace(f"{folder}/", f"{TEMPLATES}.").replace(".txt:", ":")
            raise ConfigError(f"{WRONG}{told if told.startswith('strategy.') else f'strategy: {told}'}") from None
    return Asked(built, build_responder(run, response))


@contextmanager
def _templates(strategy: EvolvingConfig, inline: Mapping[str, Any]) -> Iterator[Path | None]:
    """The folder of the strategy's templates, with the `inline` ones in the place of its own. Raises ConfigError."""
    if not inline:
        yield strategy.templates
        return
    known = shipped_names() | (shipped_names(strategy.own_templates) if strategy.own_templates else set())
    for name, text in inline.items():
        if name not in known or not isinstance(text, str):
            raise ConfigError(f"{WRONG}{TEMPLATES}: expected texts by the names {', '.join(sorted(known))}, got {name}")
    with tempfile.TemporaryDirectory(prefix="evolve-templates-") as name:
        folder = Path(name)
        if strategy.templates:
            shutil.copytree(strategy.templates, folder, dirs_exist_ok=True)
        for template, text in inline.items():
            (folder / f"{template}.txt").parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{template}.txt").write_text(text, encoding="utf-8", errors="replace")
        yield folder
