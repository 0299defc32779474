"""The configuration of an AutoIF run: presets, what replaces a part of them, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from evolve.autoif.rules import OFFICIAL, PAPER, PAPER_BEFORE, PRESETS, Threshold
from evolve.records import Sampling
from ray_jobs.cli.app import main
from ray_jobs.config.identity import changes, result_settings
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.config import AutoIFConfig, AutoIFStrategyConfig
from ray_jobs.jobs.autoif.earlier_preset import as_begun
from ray_jobs.jobs.autoif.phases import autoif_jobs
from ray_jobs.jobs.autoif.preparation import prepare
from ray_jobs.jobs.load import load_config
from ray_jobs.output.first_version import FORMAT
from ray_jobs.output.plan_index import INDEX, PlanIndex
from ray_jobs.output.run_files import RUN, RUN_FIELDS, read_run
from ray_jobs.storage.store import open_store
from tests.ray_jobs.jobs.autoif.samples import autoif_config

ROOT = Path(__file__).parents[4]


def strategy(**settings: Any) -> AutoIFStrategyConfig:
    return AutoIFStrategyConfig.model_validate({"kind": "autoif", **settings})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_the_published_set_of_constants(preset: str) -> None:
    assert strategy(preset=preset).build() == PRESETS[preset]
    dumped = strategy(preset=preset).model_dump(mode="json")
    assert AutoIFStrategyConfig.model_validate(dumped).build() == PRESETS[preset]


def test_each_constant_can_be_replaced() -> None:
    assert strategy().build() == PAPER
    changed = strategy(
        preset="official",
        replies=3,
        verify_sampling={"max_tokens": 99},
        cross_validation={"min_cases": 4, "case": {"at_least": 0.5}},
        quality=None,
        query_characters=[5, 50],
    )
    cross = replace(OFFICIAL.cross_validation, min_cases=4, case=Threshold(0.5))
    assert changed.build() == replace(
        OFFICIAL,
        replies=3,
        verify_sampling=Sampling(0.7, 0.95, 99),
        cross_validation=cross,
        quality=None,
        query_characters=(5, 50),
    )


def test_limits_and_guards_come_from_the_strategy() -> None:
    limits = strategy(check_seconds=2, sandbox={"memory_mb": 256}).limits()
    assert (limits.wall_seconds, limits.cpu_seconds, limits.memory_bytes) == (2, 2, 256 * 2**20)
    assert "network" not in strategy(sandbox={"allow_missing": ["network"]}).sandbox.required


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": {"repies": 3}}, r"strategy\.repies: unknown field; did you mean replies\?"),
        ({"strategy": {"preset": "own"}}, r"strategy\.preset: Input should be 'paper', .*'autoif_paper' or"),
        ({"strategy": {"cross_validation": {"min_functions": 0}}}, r"strategy\.cross_validation\.min_functions: Input"),
        ({"strategy": {"pair_side": 2}}, r"strategy: pair_side: pairs need responses that functions have looked at"),
        ({"strategy": {"nli": True}}, r"strategy: nli: needs back_translations above 0"),
        ({"strategy": {"expected": True}}, r"strategy: expected: needs the judge's score"),
        (
            {"strategy": {"preset": "official", "forms": False, "expected": True}, "judge": {"engine": {"model": "m"}}},
            r"strategy: expected: .* forms: true",
        ),
        ({"strategy": {"preset": "official"}}, r"judge: is missing; strategy\.quality needs a model that scores"),
        (
            {"strategy": {"nli": True, "back_translations": 1}, "nli": {"kind": "judge"}},
            r"judge: is missing; nli of kind judge needs it",
        ),
        ({"strategy": {"sandbox": {"allow_missing": ["air"]}}}, r"strategy\.sandbox\.allow_missing\.0: Input"),
        ({"nli": {"kind": "oracle"}}, r"nli\.kind: expected one of 'classifier', 'judge', got 'oracle'"),
        ({"sharing": "split"}, r"sharing: unknown field"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    engine = {"engine": {"kind": "scripted"}}
    raw: dict[str, Any] = {
        "output": "out",
        "seeds": {"path": "x"},
        "strategy": {},
        "evolvers": {"a": engine},
        "responder": engine,
        **changes,
    }
    raw["strategy"] = {"kind": "autoif", **raw["strategy"]}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "run.yaml")


def test_the_kind_of_strategy_tells_which_configuration_it_is() -> None:
    assert isinstance(load_config(ROOT / "examples" / "autoif.yaml"), AutoIFConfig)
    assert isinstance(load_config(ROOT / "examples" / "quickstart.yaml"), RunConfig)


def test_files_are_checked_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"strategy: .*absent\.txt"):
        prepare(autoif_config(tmp_path, {"constraints": str(tmp_path / "absent.txt")}))
    (tmp_path / "templates" / "autoif").mkdir(parents=True)
    (tmp_path / "templates" / "autoif" / "verify.txt").write_text("Write code.")
    with pytest.raises(ConfigError, match=r"verify\.txt: placeholder \{instruction\} is missing"):
        prepare(autoif_config(tmp_path, {"templates": str(tmp_path / "templates")}))
    absent = {"engine": {"model": str(tmp_path / "model")}}
    with pytest.raises(ConfigError, match=r"judge\.engine\.model: there is no folder"):
        autoif_jobs(autoif_config(tmp_path, judge=absent))
    with pytest.raises(ConfigError, match=r"nli\.model: there is no folder"):
        autoif_jobs(autoif_config(tmp_path, nli={"model": str(tmp_path / "model")}))


def test_a_phase_knows_the_settings_that_change_its_results(tmp_path: Path) -> None:
    def changed(strategy: dict[str, Any] | None = None, **changes: Any) -> list[int]:
        before, now = (
            prepare(item) for item in (autoif_config(tmp_path), autoif_config(tmp_path, strategy, **changes))
        )
        return [phase for phase in (1, 2, 3) if before.settings(phase) != now.settings(phase)]

    other = {"engine": {"kind": "scripted", "model": "other"}}
    assert changed(evolvers={"small": other}) == [1, 2, 3]
    assert changed({"augment_calls": 9}) == [1, 2, 3]
    assert changed({"near_duplicate": 0.5}) == [2, 3]
    assert changed({"near_duplicate": None}) == [2, 3]
    assert changed({"check_seconds": 9}) == [2, 3]
    assert changed({"order": "constraint_first"}) == [3]
    assert changed({"keep_truncated": True}) == [3]
    assert changed({"quality_tokens": 900}) == [3]
    assert changed(judge=other) == [2, 3]
    assert changed(judge=other, nli={"model": "org/classifier"}) == [2, 3]
    assert changed({"quality": {"at_least": 7}}) == [3]
    assert changed(responder=other) == [3]
    assert changed({"sandbox": {"servers": 3, "allow_missing": ["network"]}}, limits={"stall_seconds": 9}) == []
    assert changed({"sandbox": {"memory_mb": 99}}) == [2, 3]


def test_fields_that_came_later_change_no_settings_at_the_old_behaviour(tmp_path: Path) -> None:
    settings = prepare(autoif_config(tmp_path)).settings(3)
    assert settings["strategy.near_duplicate"] == 0.8
    assert not {"strategy.order", "strategy.keep_truncated", "strategy.quality_tokens"} & settings.keys()


def begin(config: AutoIFConfig, configuration: dict[str, Any], version: dict[str, Any] | None = None) -> None:
    """An output of `config` whose first phase was begun under `configuration`, by version 0.1 or by `version`."""
    begun = open_store(config.output).below("augment")
    groups: dict[str, Any] = {"configuration": configuration, "result_settings": {}, "versions": {}}
    content = dict.fromkeys(RUN_FIELDS, "") | {"kind": "autoif_augment"} | groups
    begun.write_bytes(RUN, json.dumps(content | (version or {})).encode())
    begun.write_bytes(INDEX, json.dumps(PlanIndex().to_json()).encode())


CHANGED = ("near_duplicate", "order", "keep_truncated")
OF_TODAY = {"format": FORMAT, "job": "autoif_augment"}


def constants(config: AutoIFConfig) -> tuple[Any, ...]:
    return tuple(getattr(config.strategy, name) for name in CHANGED)


def test_an_output_begun_under_the_presets_old_constants_goes_on_under_them(tmp_path: Path) -> None:
    config = autoif_config(tmp_path, {"preset": "paper"})
    assert as_begun(config) == (config, {})
    old = {name: value for name, value in config.strategy.model_dump(mode="json").items() if name not in CHANGED}
    begin(config, {"strategy": old | {"near_duplicate": 0.8}})
    now, before = as_begun(config)
    assert before == {name: getattr(PAPER_BEFORE, name) for name in CHANGED}
    assert constants(now) == (0.8, "query_first", False)
    said: list[str] = []
    autoif_jobs(config)[0].check_machine(said.append)
    assert [line.split(":")[0] for line in said[1:]] == [f"strategy.{name}" for name in CHANGED]
    # once it has gone on, its file is of today, and names that preset
    begin(config, now.model_dump(mode="json"), OF_TODAY)
    assert as_begun(config) == (now, before)
    assert as_begun(now) == (now, {})


def test_what_a_configuration_gives_is_never_set_back(tmp_path: Path) -> None:
    """Values that the preset has too, so that they cannot be told from those that it fills in."""
    given = dict(zip(CHANGED, (None, "constraint_first", True), strict=True))
    config = autoif_config(tmp_path, {"preset": "paper", **given})
    begin(config, {"strategy": {"preset": "paper", "near_duplicate": 0.8}})
    now, before = as_begun(config)
    assert (constants(now), before) == ((None, "constraint_first", True), {})


@pytest.mark.parametrize("given", [{}, {"near_duplicate": 0.8, "order": "query_first", "keep_truncated": False}])
def test_an_output_begun_today_is_compared_whatever_its_constants(tmp_path: Path, given: dict[str, Any]) -> None:
    """One that was begun with the old values given does not go on under them where they are not given any more."""
    begun = autoif_config(tmp_path, {"preset": "paper", **given})
    begin(begun, begun.model_dump(mode="json"), OF_TODAY)
    config = autoif_config(tmp_path, {"preset": "paper"})
    assert as_begun(config) == (config, {})
    assert bool(changes(result_settings(begun), result_settings(config))) == bool(given)


def test_an_output_that_is_begun_afresh_is_begun_under_todays_constants(tmp_path: Path) -> None:
    config = autoif_config(tmp_path, {"preset": "paper"})
    begin(config, {"strategy": {"preset": "paper", "near_duplicate": 0.8}})
    # a cluster that is not there ends the run, once it has written down what it is
    elsewhere = config.model_dump(mode="json", exclude={"strategy": set(CHANGED)}) | {"ray": {"address": "127.0.0.1:1"}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(elsewhere))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "run.yaml"), "--fresh", "--delete", "--yes"])
    assert ended.value.code
    stored = read_run(open_store(config.output).below("augment"))["configuration"]["strategy"]
    assert (stored["preset"], stored["order"]) == ("paper", "constraint_first")
