"""What a run says at its start about models that think aloud: which parser reads whose thoughts, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from evolve.engines.chat import found_template
from evolve.engines.reasoning import AUTO, parser_for
from ray_jobs.config.engine_kinds import VllmConfig


def told(say: Callable[[str], None], set_back: Mapping[str, Any], config: BaseModel) -> None:
    """Say what is as it was when the output was begun, and for each vLLM engine of `config` how its thoughts are read.

    Of a model whose files are not on this machine its actor finds out, and writes it into its log.
    """
    for place, value in set_back.items():
        say(f"{place}: {json.dumps(value)}, as this output was begun before there was the field")
    for place, engine in vllm_engines(config):
        here, template = found_template(engine.model)
        if engine.reasoning != AUTO:
            say(f"{place}.reasoning: {engine.reasoning}")
        elif here or engine.chat_template:
            parser, why = parser_for(engine.chat_template or template)
            say(f"{place}.reasoning: {parser or 'none'}, for {why}")


def vllm_engines(value: Any, path: str = "") -> Iterator[tuple[str, VllmConfig]]:
    """The vLLM engines of a configuration by their dotted paths."""
    if isinstance(value, VllmConfig):
        yield path, value
        return
    items: Mapping[str, Any] = {}
    if isinstance(value, BaseModel):
        items = {name: getattr(value, name) for name in type(value).model_fields}
    elif isinstance(value, Mapping):
        items = value
    for name, item in items.items():
        yield from vllm_engines(item, f"{path}.{name}".lstrip("."))
