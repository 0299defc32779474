"""Values as they are given: # on the command line, and variables of the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.config.load import overridden
from ray_jobs.config.values import given_value, with_variables
from ray_jobs.errors import ConfigError
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
