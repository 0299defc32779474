"""What a search is told to be wrong before any model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evolve.strategies.elimination import Elimination
from ray_jobs.config.load import read_config
from ray_jobs.config.strategies import EliminationConfig
from ray_jobs.errors import ConfigError, SeedError
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.jobs.method_search.preflight import Prepared, prepare
from ray_jobs.jobs.method_search.rows import draw_rows
from ray_jobs.pipeline.job import seed_source
from ray_jobs.seeds.read import read_seeds
from tests.ray_jobs.samples import write_seeds

BASE = """
output: out
seeds: {path: seeds.jsonl}
engines: {one: {engine: {kind: scripted}}}
"""


def load(folder: Path, changes: str = "", seeds: int = 100) -> OptimizeConfig:
    file = folder / "seeds.jsonl"
    write_seeds(file, (f"Task {number}." for number in range(seeds)))
    raw: dict[str, Any] = {**yaml.safe_load(BASE), **(yaml.safe_load(changes) or {})}
    raw["seeds"]["path"] = str(file)
    (folder / "search.yaml").write_text(yaml.safe_dump(raw))
    return read_config(OptimizeConfig, folder / "search.yaml")


def told(folder: Path, changes: str, seeds: int = 100) -> str:
    with pytest.raises(ConfigError) as raised:
        prepare(load(folder, changes, seeds))
    return str(raised.value).replace(str(folder), "FOLDER")


def test_the_defaults_are_those_of_the_paper(tmp_path: Path) -> None:
    prepared = prepare(load(tmp_path))
    search = prepared.search_config("2026-01-02T03:04:05+00:00")
    assert (search.minibatch, search.candidates, search.steps) == (10, 5, 10)
    assert (search.optimise.temperature, search.optimise.top_p) == (0.6, 0.95)
    assert (search.evolve.temperature, search.respond.temperature) == (0, 0)
    assert search.rules == Elimination()
    assert (len(search.tuned_on.dev_ids), search.tuned_on.pool_rows) == (50, 50)
    assert EliminationConfig() == load(tmp_path).search.elimination


def test_the_rows_are_the_ones_that_were_drawn(tmp_path: Path) -> None:
    config = load(tmp_path, "search: {dev_rows: 5, pool_rows: 20, minibatch: 4}")
    rows = draw_rows(config)
    assert (rows.seeds, len(rows.dev), len(rows.pool)) == (100, 5, 20)
    assert not {item.seed_id for item in rows.dev} & {item.seed_id for item in rows.pool}
    known = {seed.seed_id: seed for batch in read_seeds(seed_source(config.seeds)) for seed in batch.seeds}
    assert all(known[item.seed_id] == item for item in (*rows.dev, *rows.pool))
    assert draw_rows(config) == rows
    assert draw_rows(config.model_copy(update={"seed": 1})) != rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            "search: {dev_rows: 101}",
            "search: the dev set: 101 rows asked for, but there are only 100 seeds",
        ),
        (
            "search: {dev_rows: 95}",
            "search: the mini-batch: 10 rows asked for, but 5 of 100 seeds are set aside for it beside the 95 dev rows",
        ),
        ("templates: FOLDER/none", "templates: FOLDER/none: expected a folder of templates, found none"),
        (
            "engines: {one: {engine: {model: ./absent}}}",
            "engines.one.engine.model: there is no folder ./absent; expected a model folder or a hub id such as "
            "ORG/NAME",
        ),
        (
            "engines: {a: {engine: {kind: scripted}}, b: {engine: {kind: scripted}}}",
            "roles.evolver: is missing; expected one of a, b",
        ),
        ("roles: {responder: two}", "roles.responder: there is no engine two; expected one of one"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, changes: str, message: str) -> None:
    assert told(tmp_path, changes.replace("FOLDER", str(tmp_path))) == message


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            "search: {candidate: 3}",
            "search.candidate: unknown field; did you mean candidates? (allowed: attempts, candidates, dev_rows, "
            "elimination, forms, minibatch, pool_rows, rounds, steps)",
        ),
        ("engines: {}", "engines: expected at least 1, got {}"),
        ("engines: {one: {engine: {kind: scriptd}}}", "engines.one.engine.kind: expected one of"),
        ("engines: {one: {engine: {kind: scripted}, pool: {size: 0}}}", "engines.one.pool.size: Input should be"),
        ("search: {steps: 0}", "search.steps: Input should be greater than or equal to 1, got 0"),
        ("search: {elimination: paper}", "search.elimination: expected one of none, rules, wizardlm"),
        ("strategy: {rounds: 1}", "strategy: unknown field"),
    ],
)
def test_a_wrong_field_is_told(tmp_path: Path, changes: str, line: str) -> None:
    first, second = told(tmp_path, changes).splitlines()
    assert first == "FOLDER/search.yaml: the configuration is wrong"
    assert second.strip().startswith(line)


def test_a_method_without_its_placeholder(tmp_path: Path) -> None:
    (tmp_path / "own/auto_evol").mkdir(parents=True)
    file = tmp_path / "own/auto_evol/method.txt"
    file.write_text("Make it harder.")
    message = told(tmp_path, f"templates: {tmp_path}/own")
    assert message == "templates: FOLDER/own/auto_evol/method.txt: placeholder {instruction} is missing"
    file.rename(file.with_name("metod.txt"))
    assert "no template is named auto_evol/metod; did you mean auto_evol/method.txt?" in told(
        tmp_path, f"templates: {tmp_path}/own"
    )


def test_an_own_method_is_another_setting(tmp_path: Path) -> None:
    before = prepare(load(tmp_path))
    (tmp_path / "own/auto_evol").mkdir(parents=True)
    (tmp_path / "own/auto_evol/method.txt").write_text("Harder: {instruction}")
    after = prepare(load(tmp_path, f"templates: {tmp_path}/own"))
    assert different(before, after) == {"templates.auto_evol/method"}


def test_where_and_how_fast_are_no_settings_of_the_result(tmp_path: Path) -> None:
    before = prepare(load(tmp_path))
    faster = "engines: {one: {engine: {kind: scripted, decode_rate: 9}, pool: {size: 3, in_flight: 9}}}"
    assert different(before, prepare(load(tmp_path, faster + "\noutput: there\nlimits: {stall_seconds: 1}"))) == set()
    assert different(before, prepare(load(tmp_path, "search: {rounds: 2}"))) == {"search.rounds"}


def different(prepared: Prepared, other: Prepared) -> set[str]:
    names = {*prepared.settings, *other.settings}
    return {name for name in names if prepared.settings.get(name) != other.settings.get(name)}


def test_seeds_that_are_not_there(tmp_path: Path) -> None:
    config = load(tmp_path)
    (tmp_path / "seeds.jsonl").unlink()
    with pytest.raises(SeedError, match=r"seeds\.jsonl"):
        prepare(config)
