"""Kinds that are found by name: shipped, of installed packages, and by their place."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from evolve.strategies.evol_instruct import EvolInstruct
from ray_jobs.config.engines import build_engine, build_strategy
from ray_jobs.config.kinds import ENGINES, STRATEGIES
from ray_jobs.config.load import validated
from ray_jobs.config.registry import UnknownKind
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import ConfigError
from tests.ray_jobs.config.installed import install

CODE = """
from pydantic import Field, model_validator
from evolve.strategies.evol_instruct import EvolInstruct
from evolve.testing.scripted_engine import ScriptedEngine
from ray_jobs.config.base import Strict
from ray_jobs.config.engine_kinds import EngineKind
from ray_jobs.config.run import ScorerKind
from ray_jobs.config.strategies import EvolvingConfig
from scoring.records import Scoring
from scoring.scripted import ScriptedScorer

class Depth(Strict):
    levels: int = Field(1, ge=1)

class Deepen(EvolvingConfig):
    depth: Depth = Depth()
    words: tuple[int, ...] = ()
    broken: bool = False

    @model_validator(mode="after")
    def _checked(self):
        return {}["checked"] if self.rounds == 9 else self

    def build(self, method=None):
        if self.broken:
            raise KeyError("deepen")
        return EvolInstruct(self.rounds, ("deepen",) * self.depth.levels, self.sampling.build(), self.rules())

class Echo(EngineKind):
    model: str = "echo"
    times: int = 1

    def build(self):
        return ScriptedEngine(reply=lambda prompt: prompt.text * self.times)

class Flat(ScorerKind):
    model: str = "flat"

    def build(self):
        return Scoring(ScriptedScorer())
"""
BASE: dict[str, Any] = {
    "output": "out",
    "seeds": {"path": "seeds.jsonl"},
    "evolvers": {"a": {"engine": {"kind": "scripted"}}},
    "responder": {"kind": "evolver"},
}


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An installed package that adds the strategy `deeper` and the engine `echo`; its name."""
    package = f"plug_{abs(hash(request.node.name))}"
    strategies = {"deeper": f"{package}:Deepen"}
    scorers, engines = {"flat": f"{package}:Flat"}, {"echo": f"{package}:Echo"}
    install(tmp_path, package, CODE, strategies=strategies, engines=engines, scorers=scorers)
    monkeypatch.syspath_prepend(tmp_path)
    return package


def told(changes: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        validated(RunConfig, BASE | changes, "run.yaml")
    return str(raised.value).splitlines()[1:]


def test_a_kind_of_an_installed_package_is_read_built_and_read_again(plug: str) -> None:
    changes = {"strategy": {"kind": "deeper", "depth": {"levels": 2}}, "evolvers": {"a": {"engine": {"kind": "echo"}}}}
    run = validated(RunConfig, BASE | changes | {"scorer": {"kind": "flat"}}, "run.yaml")
    assert isinstance(build_strategy(run.strategy), EvolInstruct)
    assert build_engine(run.evolvers["a"].engine).max_concurrency
    assert run.scorer is not None
    assert run.scorer.build().scorer.score([]) == []
    assert run.model_dump(mode="json")["strategy"]["depth"] == {"levels": 2}
    assert RunConfig.model_validate(json.loads(run.model_dump_json())) == run
    assert pickle.loads(pickle.dumps(run)) == run
    assert {"deeper"} < set(STRATEGIES.names())


def test_a_kind_may_be_named_by_its_place(plug: str) -> None:
    run = validated(RunConfig, BASE | {"strategy": {"kind": f"{plug}:Deepen", "rounds": 3}}, "run.yaml")
    assert (run.strategy.kind, run.strategy.short_name, run.strategy.rounds) == (f"{plug}:Deepen", "Deepen", 3)
    assert RunConfig.model_validate(run.model_dump(mode="json")) == run


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"depths": {}}, "strategy.depths: unknown field; did you mean depth? (allowed: broken, depth, elimination, "),
        ({"depth": {"levels": 0}}, "strategy.depth.levels: Input should be greater than or equal to 1, got 0"),
        ({"depth": {"level": 2}}, "strategy.depth.level: unknown field; did you mean levels? (allowed: levels)"),
        ({"words": [1, "x"]}, "strategy.words.1: Input should be a valid integer"),
        ({"depth": 3}, "strategy.depth: expected a group of settings, got 3"),
    ],
)
def test_its_wrong_fields_are_told_as_of_a_shipped_kind(plug: str, settings: dict[str, Any], line: str) -> None:
    (found,) = told({"strategy": {"kind": "deeper", **settings}})
    assert found.startswith(f"  {line}")


def test_an_unknown_kind_is_told_with_all_there_are(plug: str) -> None:
    (line,) = told({"strategy": {"kind": "deepr"}})
    assert line.startswith("  strategy.kind: expected one of 'evol_instruct', 'auto_evol', 'autoif', 'deeper', got")
    assert line.endswith("did you mean deeper?")
    with pytest.raises(UnknownKind, match="vllm"):
        ENGINES.find(3)


def test_a_kind_that_goes_elsewhere_is_told() -> None:
    (line,) = told({"strategy": {"kind": "autoif"}})
    assert line.startswith("  strategy.kind: autoif does not go with")


def test_what_raises_while_it_is_read_or_built_is_named(plug: str) -> None:
    with pytest.raises(ConfigError, match=rf"kind deeper.*KeyError: 'checked'.*{plug}\.py:\d+"):
        validated(RunConfig, BASE | {"strategy": {"kind": "deeper", "rounds": 9}}, "run.yaml")
    run = validated(RunConfig, BASE | {"strategy": {"kind": "deeper", "broken": True}}, "run.yaml")
    with pytest.raises(ConfigError, match=rf"kind deeper.*KeyError.*{plug}\.py:\d+"):
        build_strategy(run.strategy)


@pytest.mark.parametrize(
    ("code", "place", "words"),
    [
        ("raise RuntimeError('no such GPU')", "{}:Kind", r"of {0}: .*RuntimeError: no such GPU.*{0}\.py:1"),
        ("", "{}:Kind", "of {}: .*AttributeError"),
        ("", "{}.inner:Kind", "of {}: .*ModuleNotFoundError"),
        ("class Kind: pass", "{}:Kind", "of {}: expected a class under .*StrategyKind"),
        ("Kind = 3", "{}:Kind", "of {}: expected a class under .*found int"),
    ],
)
def test_what_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, place: str, words: str
) -> None:
    package = f"faulty_{abs(hash((code, place)))}"
    install(tmp_path, package, code, strategies={"faulty": place.format(package)})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=words.format(package)):
        validated(RunConfig, BASE | {"strategy": {"kind": "faulty"}}, "run.yaml")
    with pytest.raises(ConfigError, match=f"strategies {package}"):
        STRATEGIES.find(place.format(package))


def test_two_kinds_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "first_plug", CODE, strategies={"both": "first_plug:Deepen", "auto_evol": "first_plug:Deepen"})
    install(tmp_path, "second_plug", CODE, strategies={"both": "second_plug:Deepen"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="both: first_plug and second_plug"):
        STRATEGIES.find("both")
    with pytest.raises(ConfigError, match="auto_evol: slm-evolve and first_plug"):
        STRATEGIES.find("auto_evol")


def test_a_table_of_kinds_loads_none_of_them(plug: str) -> None:
    import sys

    assert {*ENGINES.names()} == {"vllm", "openai", "scripted", "echo"}
    assert plug not in sys.modules
