"""Method files: what they hold, and what is said about those that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evolve.errors import TemplateError
from evolve.prompts import Template
from evolve.records import Sampling
from evolve.strategies.auto_evol import AutoEvol
from evolve.strategies.elimination import Elimination
from evolve.strategies.method import Method, Models, TunedOn

SOURCE = "methods/best.json"
TEXT = "Make it harder: {instruction}"
METHOD = Method(
    text=TEXT,
    fingerprint=Template("t", TEXT).digest(),
    parent="00ff00ff00ff00ff",
    step=2,
    failure_rates=(0.5, 0.3, 0.1),
    tuned_on=TunedOn("seeds.jsonl", 1950, ("a1", "b2")),
    models=Models("small", "large", "large"),
    created_at="2026-01-02T03:04:05+00:00",
)


def message(data: bytes) -> str:
    with pytest.raises(TemplateError) as caught:
        Method.from_json(data, SOURCE)
    return str(caught.value)


def changed(**fields: object) -> bytes:
    return json.dumps(json.loads(METHOD.to_json()) | fields).encode()


def test_a_method_comes_back_as_it_was_saved() -> None:
    assert Method.from_json(METHOD.to_json(), SOURCE) == METHOD
    assert Method.from_json(replace(METHOD, parent=None).to_json(), SOURCE).parent is None


def test_the_file_is_readable_and_says_its_format() -> None:
    held = json.loads(METHOD.to_json())
    assert held["format"] == 1
    assert held["failure_rates"] == [0.5, 0.3, 0.1]
    assert held["tuned_on"] == {"source": "seeds.jsonl", "pool_rows": 1950, "dev_ids": ["a1", "b2"]}
    assert METHOD.to_json().endswith(b"}\n")


def test_a_strategy_takes_its_fingerprint_from_the_method() -> None:
    def strategy(method: Method) -> AutoEvol:
        return AutoEvol(1, Sampling(), Elimination(), method=method.template())

    assert METHOD.template().digest() == METHOD.fingerprint
    assert strategy(METHOD).fingerprint() == strategy(replace(METHOD, step=9)).fingerprint()
    assert strategy(METHOD).fingerprint() != strategy(replace(METHOD, text="{instruction}")).fingerprint()


def test_no_json() -> None:
    assert message(b"Make it harder").startswith(f"{SOURCE}: expected a method file: Invalid JSON")
    assert message(b"\xff\xfe").startswith(f"{SOURCE}: expected a method file: Invalid JSON")


def test_missing_field() -> None:
    held = json.loads(METHOD.to_json())
    del held["models"]
    assert message(json.dumps(held).encode()) == f"{SOURCE}: expected a method file: models: Field required"


def test_unknown_field() -> None:
    assert message(changed(txt="x")).startswith(f"{SOURCE}: expected a method file: txt: Unexpected keyword argument")


def test_wrong_type() -> None:
    assert message(changed(failure_rates=[0.5, "low"])) == (
        f"{SOURCE}: expected a method file: failure_rates.1: "
        "Input should be a valid number, unable to parse string as a number"
    )


def test_a_later_format() -> None:
    assert message(changed(format=2)) == f"{SOURCE}: expected a method file: format: Input should be 1"


def test_missing_placeholder() -> None:
    assert message(changed(text="Make it harder.")) == f"{SOURCE}: placeholder {{instruction}} is missing"


def test_unknown_placeholder() -> None:
    assert message(changed(text="{instruction} {plan}")).startswith(f"{SOURCE}: unknown placeholder {{plan}}")


def test_a_text_edited_by_hand() -> None:
    said = message(changed(text="Make it much harder: {instruction}"))
    assert said.startswith(f"{SOURCE}: fingerprint: the text has ")
    assert METHOD.fingerprint in said
