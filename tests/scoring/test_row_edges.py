"""Rows at the edge: a null or a defined value with a note, never NaN, never an exception, never a silent cut."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import three_forwards

from scoring import Pair, Scorer, ScorerConfig, Scores

LONG = " ".join(["bake the bread"] * 200)


@pytest.fixture(scope="module", params=["bos", "no bos"])
def bos(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "bos")


@pytest.fixture(scope="module")
def scorer(tiny: Callable[..., Path], bos: bool) -> Scorer:
    return Scorer(ScorerConfig(str(tiny("llama", bos))))


def one(scorer: Scorer, instruction: str, output: str, given: str = "") -> Scores:
    (scores,) = scorer.score([Pair(instruction, given, output)])
    return scores


def test_no_pairs(scorer: Scorer) -> None:
    assert scorer.score([]) == []


def test_an_ordinary_row_has_no_note(scorer: Scorer) -> None:
    assert one(scorer, "Why?", "Because of the rain.").note is None


def test_empty_response(scorer: Scorer) -> None:
    scores = one(scorer, "What is 12 * 12?", "")
    assert scores.loss_q == pytest.approx(one(scorer, "What is 12 * 12?", "It is 144.").loss_q, rel=1e-5)
    assert scores.loss_a is scores.loss_a_given_q is scores.ifd is scores.ic_ifd is None
    assert scores.n_a == 0
    assert scores.note == "empty response: L(A|Q) and L(A) are undefined"


def test_one_token_response(scorer: Scorer, bos: bool) -> None:
    scores = one(scorer, "Name three rivers", "3")
    assert scores.loss_q is not None
    assert scores.loss_a_given_q is not None
    assert (scores.loss_a is not None) is bos
    assert scores.note == (None if bos else "response of one token without BOS: L(A) is undefined")


def test_empty_instruction(scorer: Scorer) -> None:
    scores = one(scorer, "", "Because of the rain.")
    assert scores.loss_q is None
    assert scores.ifd is not None
    assert scores.ic_ifd is None
    assert scores.note == "empty instruction: L(Q) is undefined"


def test_everything_empty(scorer: Scorer) -> None:
    scores = one(scorer, "", "")
    assert scores.loss_q is scores.loss_a is scores.loss_a_given_q is None
    assert "empty instruction" in (scores.note or "")
    assert "empty response" in (scores.note or "")


@pytest.mark.parametrize("pair", [("a \ud800 b", "", "fine"), ("fine", "\udfff", "fine"), ("fine", "", "b\udc80")])
def test_lone_surrogates_leave_their_neighbours_alone(scorer: Scorer, pair: tuple[str, str, str]) -> None:
    before, broken, after = scorer.score([Pair("Why?", "", "Rain."), Pair(*pair), Pair("Why?", "", "Rain.")])
    assert broken == Scores(None, None, None, 0, 0, "invalid Unicode: a lone surrogate")
    assert before.ifd is not None
    assert before.ifd == pytest.approx(after.ifd)


def test_special_tokens_written_out_are_scored_by_the_rule_and_noted(
    scorer: Scorer, tiny: Callable[..., Path], bos: bool
) -> None:
    pair = Pair("Stop </s> here.", "", "It is <s> 144.")
    (scores,) = scorer.score([pair])
    (expected,) = three_forwards(tiny("llama", bos), [pair])
    assert scores.note == "special tokens in the text: </s> <s>"
    assert scores.loss_a_given_q == pytest.approx(expected.loss_a_given_q, rel=1e-5)


def test_a_response_beyond_the_context_leaves_the_instructions_loss(scorer: Scorer) -> None:
    scores = one(scorer, "What is 12 * 12?", LONG)
    assert scores.loss_q == pytest.approx(one(scorer, "What is 12 * 12?", "It is 144.").loss_q, rel=1e-5)
    assert scores.loss_a is scores.loss_a_given_q is None
    assert (scores.note or "").startswith("too long: ")
    assert (scores.note or "").endswith(" tokens, limit 256")


def test_an_instruction_beyond_the_context_leaves_the_answers_loss(scorer: Scorer) -> None:
    scores = one(scorer, LONG, "It is 144.")
    assert scores.loss_q is scores.loss_a_given_q is None
    assert scores.loss_a == pytest.approx(one(scorer, "Why?", "It is 144.").loss_a, rel=1e-5)


def test_truncation_is_noted_and_cuts_both_answers_alike(tiny: Callable[..., Path], bos: bool) -> None:
    folder = str(tiny("llama", bos))
    cutting = Scorer(ScorerConfig(folder, truncate=True, max_length=40))
    scores = one(cutting, "Why?", LONG)
    assert (scores.note or "").startswith("truncated: ")
    assert scores.ifd is not None
    assert scores.n_q + scores.n_a == 39
    assert one(cutting, "Why?", "Rain.").note is None
    instruction_alone = one(cutting, LONG, "Rain.")
    assert instruction_alone.loss_q is not None
    assert instruction_alone.loss_a is instruction_alone.loss_a_given_q is None


def test_a_loss_of_zero_gives_no_ratio(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    """A model whose last layer says "z" whatever it reads is never surprised by it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny("gpt2"))
    tokenizer = AutoTokenizer.from_pretrained(tiny("gpt2"))
    tokenizer.save_pretrained(tmp_path)
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1)
        model.transformer.wte.weight[tokenizer.encode("z", add_special_tokens=False)[0]] = 100
    model.save_pretrained(tmp_path)
    scores = one(Scorer(ScorerConfig(str(tmp_path))), "Why?", "zzzz")
    assert scores.loss_a == 0
    assert scores.ifd is scores.ic_ifd is None
    assert scores.note == "zero loss: a ratio is undefined"


def test_a_model_that_gives_nan_gives_none(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny("qwen2"))
    tokenizer = AutoTokenizer.from_pretrained(tiny("qwen2"))
    tokenizer.save_pretrained(tmp_path)
    with torch.no_grad():
        model.model.embed_tokens.weight[tokenizer.encode("~", add_special_tokens=False)[0]] = float("nan")
    model.save_pretrained(tmp_path)
    pairs = [Pair("Why ~ now?", "", "~ it"), Pair("Why?", "", "It is.")]
    broken, fine = Scorer(ScorerConfig(str(tmp_path))).score(pairs)
    assert broken.loss_a is None
    assert "no finite number" in (broken.note or "")
    assert fine.note is None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=9), st.text(max_size=20)), max_size=5))
def test_any_text_gives_numbers_or_notes(scorer: Scorer, rows: list[tuple[str, str, str]]) -> None:
    for scores in scorer.score([Pair(*row) for row in rows]):
        for value in (scores.loss_q, scores.loss_a_given_q, scores.loss_a):
            assert value is None or (math.isfinite(value) and value >= 0)
        if scores.ic_ifd is None:
            assert scores.note
