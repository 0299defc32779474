"""What is masked in texts, and what stays readable."""

from __future__ import annotations

import asyncio
import logging

import pytest

from evolve.engines.masked_engine import MaskedEngine
from evolve.errors import EngineDied, PromptRefused
from evolve.masking import MaskedFormatter, concealed, mask_text, mask_url, without
from evolve.records import Prompt, Sampling
from evolve.testing.scripted_engine import ScriptedEngine


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://user:zebra@host/x", "https://***@host/x"),
        ("https://zebra@host", "https://***@host"),
        ("https://user:zeb@ra@host:80/x", "https://***@host:80/x"),
        # characters that should have been quoted
        ("https://user:zeb@r/ra@host:80/x", "https://***@host:80/x"),
        ("https://user:zeb/ra@host:80/x", "https://***@host:80/x"),
        ("sftp://user:zeb#ra@host/x", "sftp://***@host/x"),
        ("https://user:zeb?ra@host/x", "https://***@host/x"),
        ("https://host/x.parquet?X-Sig=zebra&part=1", "https://host/x.parquet?X-Sig=***&part=***"),
        ("s3://bucket/x?token=zebra", "s3://bucket/x?token=***"),
        ("https://host?zebra", "https://host?***"),
        ("https://host/x#access_token=zebra", "https://host/x#access_token=***"),
        ("simplecache::https://user:zebra@host/x", "simplecache::https://***@host/x"),
        ("zip://a.csv::https://user:zebra@host/x.zip", "zip://a.csv::https://***@host/x.zip"),
    ],
)
def test_what_may_be_secret_in_a_url_is_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked
    assert mask_url(masked) == masked
    assert "ra" not in mask_text(f"reading '{url}': no such file").removeprefix("reading").replace("parquet", "")


@pytest.mark.parametrize(
    "plain",
    [
        "out/first",
        "data/part-?.jsonl",
        "s3://bucket/part-?.jsonl",
        "s3://bucket/user@host/x",
        "https://host:8000/@scope/x",
        "https://[::1]:80/a@b",
        "http://127.0.0.1:8000/v1",
        "what is 1:2@3?",
    ],
)
def test_other_places_stay_as_they_are(plain: str) -> None:
    assert mask_url(plain) == plain
    assert mask_text(f"{plain}: expected a file") == f"{plain}: expected a file"


@pytest.mark.parametrize(
    "key",
    [
        "hf_" + "zebra" * 6,
        "sk-proj-" + "zebra" * 6,
        "ghp_" + "zebra" * 6,
        "AKIAZEBRAZEBRAZEBRA1",
        "Bearer zebra-zebra",
        "eyJhbGciOiJI.zebrazebra.zebra",
    ],
)
def test_a_key_shows_by_its_shape(key: str) -> None:
    masked = mask_text(f"the server says: bad key {key}.")
    assert "zebra" not in masked.lower()
    assert masked.startswith("the server says: bad key ")


def test_known_values_are_found_as_they_are_and_quoted_and_short_ones_are_not_looked_for() -> None:
    assert without("a ze+bra/1 ze%2Bbra%2F1 1", ["ze+bra/1", "1"]) == "a *** *** 1"
    assert without(repr("it's\nzebra"), ["it's\nzebra"]) == '"***"'


def test_an_error_that_holds_a_secret_is_raised_anew_without_its_cause() -> None:
    with pytest.raises(EngineDied) as died, concealed(["zebra-1"]):
        raise EngineDied("no answer") from ValueError("bad key zebra-1")
    assert (died.value.__cause__, died.value.__suppress_context__) == (None, True)
    with pytest.raises(RuntimeError, match=r"^KeyError: '\*\*\*'$"), concealed(["zebra-1"]):
        raise KeyError("zebra-1")
    with pytest.raises(KeyError, match="lion"), concealed(["zebra-1"]):
        raise KeyError("lion")


def test_an_engine_with_secrets_repeats_none() -> None:
    def reply(prompt: Prompt) -> str:
        raise PromptRefused(f"not with zebra-1: {prompt.text}")

    engine = MaskedEngine(ScriptedEngine(reply=reply), ["zebra-1"])
    with pytest.raises(PromptRefused, match=r"^not with \*\*\*: hello$"):
        asyncio.run(engine.generate(Prompt.user("hello", Sampling(), 0)))
    assert engine.max_concurrency == ScriptedEngine().max_concurrency


def test_a_log_masks_tracebacks_too() -> None:
    try:
        raise ValueError("https://user:zebra@host")
    except ValueError as error:
        trace = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "failed at %s", ("http://host?token=zebra",), trace)
    line = MaskedFormatter("%(message)s").format(record)
    assert "ValueError: https://***@host" in line
    assert "failed at http://host?token=***" in line
