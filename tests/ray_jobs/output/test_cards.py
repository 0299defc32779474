"""What a dataset card says of languages and models."""

from __future__ import annotations

import pytest
import yaml

from ray_jobs.output.card import card_header, shown_model
from ray_jobs.output.languages import languages_of


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Name the longest river of the continent and say where it ends."),
        ("de", "Nenne den längsten Fluss und erkläre, wie er zu seinem Namen kam."),
        ("fr", "Expliquez la différence entre les deux rivières et donnez un exemple."),
        ("es", "Explica la diferencia entre los dos ríos y por qué es importante."),
        ("ja", "川の名前を三つ書いてください。"),
        ("zh", "请写出三条河流的名字。"),
        ("ko", "강 이름 세 개를 쓰세요."),
        ("ru", "Назови реку и объясни, что в ней не так."),
    ],
)
def test_languages_are_told_by_their_letters_and_commonest_words(language: str, text: str) -> None:
    assert languages_of([text]) == [language]


def test_what_is_in_doubt_is_not_named() -> None:
    assert languages_of(["def f(x): return x + 1", "2 + 2 = ?", "Ignaz Müller", ""]) == []
    assert "language" not in yaml.safe_load(card_header("data/*.parquet", []).strip("-\n"))


def test_a_language_of_few_texts_is_left_out() -> None:
    english = ["Say what the river is and where it ends."] * 19
    assert languages_of([*english, "请写出三条河流的名字。"]) == ["en"]
    assert languages_of([*english[:5], "请写出三条河流的名字。"]) == ["en", "zh"]


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("/home/me/models/smollm2", "smollm2"),
        ("~/models/small/", "small"),
        ("../models/small", "small"),
        ("ORG/Model-7B", "ORG/Model-7B"),
        ("scripted", "scripted"),
    ],
)
def test_a_model_of_a_folder_is_named_without_the_folder(model: str, shown: str) -> None:
    assert shown_model(model) == shown
