"""What engines are told about conversations, as a configuration gives it, and what of it changes results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from evolve.described import described
from evolve.engines.vllm_build import Build, check_arguments, engine_arguments, vllm_build
from evolve.errors import SettingError
from evolve.records import Sampling
from ray_jobs.config.base import SamplingConfig
from ray_jobs.config.engine_kinds import EngineConfig, VllmConfig
from ray_jobs.config.identity import result_settings
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
    told_of = ("kind", "model", "reasoning", "reasoning_tokens", "control_tokens")
    assert set(before) == {f"responder.engine.{name}" for name in told_of}
    old = settings(tmp_path, reasoning="none", reasoning_tokens=None, control_tokens="keep")
    assert set(old) == {"responder.engine.kind", "responder.engine.model"}
    told = settings(tmp_path, system="Be short.", template_arguments={"enable_thinking": False})
    assert told.items() - before.items() == {
        ("responder.engine.system", "Be short."),
        ("responder.engine.template_arguments.enable_thinking", False),
    }
    assert settings(tmp_path, chat_template="{{ messages }}") != before


def test_sampling_may_be_as_the_model_says() -> None:
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty")
    word = SamplingConfig.model_validate("model")
    assert [getattr(word, name) for name in names] == [None] * len(names)
    some = SamplingConfig.model_validate({"defaults": "model", "top_k": 20, "max_tokens": 9})
    assert (some.temperature, some.top_k, some.max_tokens) == (None, 20, 9)
    assert SamplingConfig.model_validate(some.model_dump()) == some
    assert SamplingConfig.model_validate({"temperature": None}).build().temperature is None
    for wrong in ("models", {"defaults": "mine"}, {"top_k": -1}, {"min_p": 2}):
        with pytest.raises(ValidationError):
            SamplingConfig.model_validate(wrong)


def test_new_fields_of_sampling_count_where_they_say_something(tmp_path: Path) -> None:
    def sampled(**fields: Any) -> set[str]:
        run = run_config(tmp_path, strategy={"sampling": fields})
        return {path for path in result_settings(run) if path.startswith("strategy.sampling.")}

    before = {f"strategy.sampling.{name}" for name in ("temperature", "top_p", "max_tokens", "stop")}
    assert sampled() == before
    assert sampled(top_k=20) == before | {"strategy.sampling.top_k"}
    assert sampled(extra={"min_tokens": 3}) == before | {"strategy.sampling.extra.min_tokens"}
    assert described(Sampling()) == "Sampling(temperature=0.7, top_p=0.95, max_tokens=2048, stop=())"
    assert described(Sampling(top_k=20)).endswith("stop=(), top_k=20)")


def test_a_field_or_a_parser_that_vllm_does_not_know_is_named() -> None:
    build = Build(("min_tokens", "bad_words"), ("qwen3",))
    build.check_extra(["min_tokens"])
    build.check_parser("auto")
    build.check_parser("qwen3")
    with pytest.raises(SettingError, match=r"extra\.min_token: .*did you mean min_tokens\?"):
        build.check_extra(["min_token"])
    with pytest.raises(SettingError, match=r"reasoning: .*qwen\b.*did you mean qwen3\?.*auto, none, qwen3"):
        build.check_parser("qwen")


def test_a_form_that_vllm_cannot_use_is_named() -> None:
    build = Build((), (), ("regex", "choice"), ("backend", "enable_in_reasoning"), ("auto", "xgrammar"))
    build.check_settings("arguments.structured_outputs_config", {"backend": "xgrammar"})
    with pytest.raises(SettingError, match=r"structured_outputs_config\.backend: .*outlines.*allowed: auto, xgrammar"):
        build.check_settings("arguments.structured_outputs_config", {"backend": "outlines"})
    with pytest.raises(SettingError, match=r"structured_outputs_config\.backed: .*did you mean backend\?"):
        build.check_settings("arguments.structured_outputs_config", {"backed": "xgrammar"})
    with pytest.raises(SettingError, match=r"extra\.structured_outputs\.regexp: .*did you mean regex\?"):
        build.check_form("extra.structured_outputs", {"regexp": "a"})


def test_an_argument_that_vllms_engine_does_not_take_is_named() -> None:
    if not engine_arguments():
        pytest.skip("no vLLM on this machine")
    check_arguments(["max_model_len", "enable_log_requests", "structured_outputs_config"])
    with pytest.raises(SettingError, match=r"arguments\.max_model_length: .*did you mean max_model_len\?"):
        check_arguments(["dtype", "max_model_length"])


@pytest.mark.engine
def test_a_form_that_is_none_is_found_out_by_vllm_itself() -> None:
    build = vllm_build()
    if build is None:
        pytest.skip("no vLLM on this machine")
    build.check_form("extra.structured_outputs", {"regex": "[a-z]+"})
    with pytest.raises(SettingError, match=r"extra\.structured_outputs: .*parenthesis"):
        build.check_form("extra.structured_outputs", {"regex": "(a"})
