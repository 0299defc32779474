"""Values as they are given: # on the command line, and variables of the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.cli.jobs import _resources
from ray_jobs.config.load import overridden, parse_storage, read_settings
from ray_jobs.config.values import given_value, with_variables
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.rates import read_rates
from ray_jobs.jobs.load import load_config

CONFIG = """
output: ${FOLDER}/out
seeds: {path: ["s3://${BUCKET}/a.jsonl", "$${plain}"], columns: {instruction: "${FIELD}"}}
evolvers: {a: {engine: {kind: scripted, slots: "${SLOTS}"}}}
responder: {kind: evolver}
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("hash #1.jsonl", "hash #1.jsonl"),
        ("#1.jsonl", "#1.jsonl"),
        ("a b #", "a b #"),
        ("5 # five", "5 # five"),
        ("a#b", "a#b"),
        ("&a b.jsonl", "&a b.jsonl"),
        ("a\nb.jsonl", "a\nb.jsonl"),
        ("'hash #1.jsonl'", "hash #1.jsonl"),
        ("{path: 'hash #1'}", {"path": "hash #1"}),
        ("[a, 2]", ["a", 2]),
        ("3", 3),
        ("", None),
        ("null", None),
    ],
)
def test_a_value_is_taken_as_it_is_given(text: str, value: Any) -> None:
    assert given_value(text) == value


@pytest.mark.parametrize("text", ["{a: 1} # one", "'a' # one", "[a #1, b]"])
def test_a_comment_behind_quotes_or_brackets_is_told(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        given_value(text)
    with pytest.raises(ConfigError, match=r"--set seeds\.path: the value is not YAML"):
        overridden({}, [f"seeds.path={text}"])


UNBUILT = [
    "2024-13-45",
    "0x_",
    "!!bool x",
    "!!int ''",
    "!!timestamp x",
    "9" * 5000,
    '"\\UFFFFFFFF"',
    "&x [*x]",
    "&x {a: *x}",
    "[" * 600,
    "[" * 400 + "]" * 400,
]


@pytest.mark.parametrize("text", UNBUILT)
def test_what_cannot_be_built_is_told_wherever_it_stands(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set a\.b: the value is not YAML: "):
        overridden({}, [f"a.b={text}"])
    with pytest.raises(ConfigError, match="--storage: is not YAML: "):
        parse_storage(f"{{key: {text}}}")
    path = tmp_path / "run.yaml"
    path.write_text(f"seeds:\n  path: {text}\n")
    with pytest.raises(ConfigError, match=r"run\.yaml: is not YAML: "):
        read_settings(path)
    with pytest.raises(ConfigError, match=r"run\.yaml: cannot be read as YAML"):
        read_rates(path, [])
    with pytest.raises(ConfigError, match=r"--driver-resources .*expected names and amounts"):
        _resources(f"{{driver: {text}}}")


def test_a_value_that_cannot_be_built_is_told_by_its_line_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("seeds:\n  path: a\n  limit: 2024-13-45\n")
    with pytest.raises(ConfigError, match=r"timestamp(?s:.*)in line 3, column 10") as raised:
        read_settings(path)
    assert "2024" not in str(raised.value)


def test_variables_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    for name, value in {"FOLDER": "/x", "BUCKET": "b", "FIELD": "question", "SLOTS": "3"}.items():
        monkeypatch.setenv(name, value)
    run = load_config(path)
    assert run.output == "/x/out"
    assert run.seeds.path == ("s3://b/a.jsonl", "${plain}")
    assert run.seeds.columns == {"instruction": "question"}
    monkeypatch.delenv("BUCKET")
    with pytest.raises(ConfigError, match=r"seeds\.path\.0: the environment has no variable BUCKET"):
        load_config(path)
    assert load_config(path, ["seeds.path=s.jsonl"]).seeds.path == "s.jsonl"


@pytest.mark.parametrize("text", ["${}", "${a b}", "${oc.env:HOME}", "${HOME", "${HOME:-x}"])
def test_other_forms_of_variables_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds: expected a variable as in"):
        with_variables({"seeds": text}, {"HOME": "x"})


def test_a_dollar_alone_is_text() -> None:
    assert with_variables({"a": "$HOME costs 5$ {x}"}, {}) == {"a": "$HOME costs 5$ {x}"}
