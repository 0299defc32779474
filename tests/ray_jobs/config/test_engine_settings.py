"""What engines are told about conversations, as a configuration gives it, and what of it changes results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ray_jobs.config.identity import result_settings
from ray_jobs.config.run import EngineConfig, VllmConfig
from tests.ray_jobs.samples import run_config

ENGINE: TypeAdapter[Any] = TypeAdapter(EngineConfig)


def engine(**fields: Any) -> VllmConfig:
    config: VllmConfig = ENGINE.validate_python({"model": "m", **fields})
    return config


def settings(tmp_path: Path, **fields: Any) -> dict[str, Any]:
    run = run_config(tmp_path, responder={"engine": {"model": "m", **fields}})
    return {path: value for path, value in result_settings(run).items() if path.startswith("responder.engine.")}


def test_a_chat_template_is_read_when_the_configuration_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{{ messages }}")
    config = engine(chat_template=str(file))
    assert config.chat_template == "{{ messages }}"
    assert ENGINE.validate_python(config.model_dump()) == config
    with pytest.raises(ValidationError, match="expected a file of a chat template"):
        engine(chat_template=str(tmp_path / "absent.jinja"))
    file.write_text("{% if %}")
    with pytest.raises(ValidationError, match="is no Jinja template"):
        engine(chat_template=str(file))


def test_what_a_model_is_told_counts_only_where_it_is_told_something(tmp_path: Path) -> None:
    before = settings(tmp_path)
    assert set(before) == {f"responder.engine.{name}" for name in ("kind", "model", "reasoning", "reasoning_tokens")}
    old = settings(tmp_path, reasoning="none", reasoning_tokens=None)
    assert set(old) == {"responder.engine.kind", "responder.engine.model"}
    told = settings(tmp_path, system="Be short.", template_arguments={"enable_thinking": False})
    assert told.items() - before.items() == {
        ("responder.engine.system", "Be short."),
        ("responder.engine.template_arguments.enable_thinking", False),
    }
    assert settings(tmp_path, chat_template="{{ messages }}") != before
