"""The JSON schemas that editors read: as the code is, and true of the examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ray_jobs.cli.app import main
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.schemas import schema
from ray_jobs.service.schemas import KINDS

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "docs" / "schemas"
# but for the plug-in's, whose schema is that of an environment with its package
RATES = ROOT / "examples" / "sizing" / "rates.yaml"
"""Speeds for `evolve plan`, which are no configuration."""
EXAMPLES = [
    path.relative_to(ROOT) for path in ROOT.glob("examples/**/*.yaml") if path.parent.name != "plugin" and path != RATES
]
NAMED = "# yaml-language-server: $schema="


def problems(name: str, settings: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema(name, KINDS))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(settings)]


@pytest.mark.parametrize("name", KINDS)
def test_the_files_are_what_the_command_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(("schema", name))
    assert not ended.value.code
    # `make schemas` writes them
    assert (SCHEMAS / f"{name}.json").read_text(encoding="utf-8") == capsys.readouterr().out


def test_without_a_kind_all_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(("schema",))
    assert set(json.loads(capsys.readouterr().out)) == set(KINDS)


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(ConfigError, match=r"run, autoif.*got runs"):
        schema("runs")


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_an_example_is_true_of_its_schema(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    first = text.splitlines()[0]
    assert first.startswith(NAMED)
    file = (ROOT / path).parent / first.removeprefix(NAMED)
    assert file.is_file()
    assert problems(file.stem, yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": "x"},
        {"samples": 0},
        {"strategy": {"kind": "evol_instructt"}},
        {"strategy": {"kind": "auto_evol", "breadth": True}},
        {"strategy": {"elimination": "paper"}},
        {"evolvers": {"a": {"engine": {"kind": "openai", "model": "m"}}}},
        {"finish": [{"by": "ifd"}]},
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(changes: dict[str, Any]) -> None:
    base = {"output": "o", "seeds": {"path": "s"}, "evolvers": {"a": {"engine": {"model": "m"}}}}
    whole = {**base, "responder": {"kind": "evolver"}}
    assert problems("run", whole) == []
    assert problems("run", whole | changes)


def test_secrets_may_be_variables() -> None:
    engine = {"model": "m", "environment": {"HF_TOKEN": {"from": "TOKEN"}, "OMP_NUM_THREADS": "4"}}
    whole = {"output": "o", "seeds": {"path": "s"}, "evolvers": {"a": {"engine": engine}}}
    assert problems("run", {**whole, "responder": {"kind": "evolver"}, "storage": {"key": {"from": "KEY"}}}) == []
