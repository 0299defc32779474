"""Which fields change results: what was compared by version 0.1.0 is what is compared now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.config import renamed
from ray_jobs.config.identity import fingerprint, result_settings
from ray_jobs.config.load import validated
from ray_jobs.config.run import EvolverConfig, OutputConfig, RespondConfig, RunConfig, ScoreConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.earlier_defaults import with_defaults_of
from ray_jobs.jobs.finish_config import FinishingAutoIFConfig, FinishingRunConfig
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.jobs.synthesis import weights

BEFORE: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("settings_of_0_1_0.json").read_text())
MODELS: dict[str, type[OutputConfig]] = {
    "run": FinishingRunConfig,
    "split": FinishingRunConfig,
    "autoif": FinishingAutoIFConfig,
    "score": ScoreConfig,
    "respond": RespondConfig,
    "search": OptimizeConfig,
}


@pytest.mark.parametrize("name", BEFORE)
def test_an_output_of_before_has_the_settings_and_the_run_id_of_before(name: str) -> None:
    today = MODELS.get(name, AnalysisRunConfig).model_validate(BEFORE[name]["configuration"])
    config, _ = with_defaults_of(today, BEFORE[name])
    settings = result_settings(config) | (weights(config) if isinstance(config, RunConfig) else {})
    assert settings == BEFORE[name]["settings"]
    assert fingerprint(settings) == fingerprint(BEFORE[name]["settings"])


@pytest.mark.parametrize("name", BEFORE)
def test_the_stored_configuration_has_the_same_settings(name: str) -> None:
    model = MODELS.get(name, AnalysisRunConfig)
    config = model.model_validate(BEFORE[name]["configuration"])
    stored = json.loads(json.dumps(config.model_dump(mode="json", exclude={"storage": True, "seeds": {"storage"}})))
    assert result_settings(model.model_validate(stored)) == result_settings(config)


@pytest.mark.parametrize(
    ("engine", "word"),
    [
        ({"kind": "openai", "model": "m", "url": "https://h", "key_variable": "MY_KEY"}, "api_key_env"),
        ({"kind": "scripted", "median_tokens": 9, "testing": {"slots": 3}}, "testing.median_tokens"),
    ],
)
def test_a_setting_under_its_old_name_is_read_and_that_is_said(
    engine: dict[str, Any], word: str, caplog: pytest.LogCaptureFixture
) -> None:
    renamed.say_once.cache_clear()
    read = EvolverConfig.model_validate({"engine": engine}).engine.model_dump()
    assert "MY_KEY" in read.values() or read["testing"]["median_tokens"] == 9
    assert word in caplog.text


def test_a_setting_under_both_names_is_refused() -> None:
    engine = {"kind": "scripted", "slots": 3, "testing": {"slots": 3}}
    with pytest.raises(ConfigError, match=r"engine: slots is the old name of testing\.slots"):
        validated(EvolverConfig, {"engine": engine}, "run.yaml")
    with pytest.raises(ConfigError, match=r"engine\.testing: expected a group"):
        validated(EvolverConfig, {"engine": engine | {"testing": 3}}, "run.yaml")
