"""Rewards are those that the model gives each text alone; what cannot have one says why."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import GROUPED, build_tokenizer, save_reward_model

from scoring import Pair, RewardConfig, RewardScorer
from scoring.errors import ModelLoadError, ModelUnsupported

CHAT = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
PAIRS = [
    Pair("Describe how bread is baked.", "", "First, mix flour and water; add salt. Then wait."),
    Pair("Name three rivers:", "big ones", "the Nile, the Rhine and the Ob."),
    Pair("Why?", "", "Because of the rain."),
    Pair("What is 12 * 12?", "", "144"),
]

pytestmark = pytest.mark.slow  # each loads a tiny model


@pytest.fixture(scope="module", params=["decoder", "decoder without padding token", "encoder"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, LlamaConfig

    path = tmp_path_factory.mktemp("reward")
    if request.param == "encoder":
        return save_reward_model(path, BertConfig(**GROUPED, num_labels=1), build_tokenizer(bos=True))
    padding = 1 if request.param == "decoder" else None
    config = LlamaConfig(**GROUPED, num_labels=1, pad_token_id=padding)
    return save_reward_model(path, config, build_tokenizer(bos=True, chat_template=CHAT + "!"))


def expected(folder: Path, pair: Pair) -> float:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    if tokenizer.chat_template:
        text = f"<s>user: {pair.question}</s><s>assistant: {pair.output}</s>!"
        inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    else:
        inputs = tokenizer(pair.question, pair.output, return_tensors="pt")
    with torch.no_grad():
        return float(model(**inputs).logits[0, 0])


def test_the_reward_is_that_of_the_text_alone(folder: Path) -> None:
    found = RewardScorer(RewardConfig(str(folder))).score(PAIRS * 5)
    alone = [expected(folder, pair) for pair in PAIRS]
    assert len(set(alone)) == len(PAIRS)
    assert [item.value for item in found] == pytest.approx(alone * 5, rel=1e-4)
    assert {item.note for item in found} == {None}


def test_a_small_budget_changes_nothing(folder: Path) -> None:
    values = [
        [item.value for item in RewardScorer(RewardConfig(str(folder), token_budget=budget)).score(PAIRS)]
        for budget in (1, 10_000)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_rows_at_the_edge_are_noted_and_leave_their_neighbours_alone(folder: Path) -> None:
    odd = [Pair("Why?", "", ""), Pair("a \ud800", "", "b"), Pair("Why?", "", "the rain " * 300)]
    scorer = RewardScorer(RewardConfig(str(folder)))
    empty, broken, long, fine = scorer.score([*odd, PAIRS[0]])
    assert (empty.value, empty.note) == (None, "empty response: reward is undefined")
    assert (broken.value, broken.note) == (None, "invalid Unicode: a lone surrogate")
    assert long.value is None
    assert (long.note or "").startswith("reward: too long: ")
    assert (long.note or "").endswith(" tokens, limit 256")
    assert fine.value == pytest.approx(expected(folder, PAIRS[0]), rel=1e-4)
    assert scorer.score([]) == []


def test_a_model_that_gives_no_number(folder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float("inf"))
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    (item,) = RewardScorer(RewardConfig(str(tmp_path))).score(PAIRS[:1])
    assert (item.value, item.note) == (None, "reward: the model gave no finite number")


def test_several_labels_are_no_reward(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    save_reward_model(tmp_path, LlamaConfig(**GROUPED, num_labels=3), build_tokenizer(bos=True))
    with pytest.raises(ModelUnsupported, match="one label, this has 3"):
        RewardScorer(RewardConfig(str(tmp_path)))


def test_a_language_model_is_no_reward_model(tiny: Callable[..., Path]) -> None:
    with pytest.raises((ModelLoadError, ModelUnsupported)):
        RewardScorer(RewardConfig(str(tiny("llama"))))


def with_own_code(folder: Path, marker: Path) -> Path:
    """A reward model whose files name code of their own for a kind that transformers does not know."""
    settings = json.loads((folder / "config.json").read_text())
    settings |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.M"},
    }
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\nfrom transformers import PretrainedConfig\n"
        "class Own(PretrainedConfig):\n    model_type = 'own'\nclass M: pass\n"
    )
    return folder


def test_a_models_own_code_is_neither_run_nor_asked_about(tmp_path: Path) -> None:
    from transformers import LlamaConfig

    model = save_reward_model(tmp_path / "m", LlamaConfig(**GROUPED, num_labels=1), build_tokenizer(bos=True))
    with_own_code(model, tmp_path / "ran")
    # a terminal on which someone could be asked, and on which nobody answers
    source = f"from scoring import *\nRewardScorer(RewardConfig({str(model)!r}))"
    ended = subprocess.run([sys.executable, "-c", source], input="y\n", capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "trust_remote_code: true" in ended.stderr
    assert "[y/N]" not in ended.stdout + ended.stderr
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ModelLoadError):
        RewardScorer(RewardConfig(str(model), trust_remote_code=True))
    assert (tmp_path / "ran").exists()
