"""Loading, settings and templates: what does not serve is told before the first row."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import save_model

from scoring import Pair, Scorer, ScorerConfig
from scoring.errors import ConfigError, ModelLoadError, ModelNotFound, ModelUnsupported

CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def test_importing_scoring_does_not_import_torch() -> None:
    code = "import sys, scoring; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("dtype", "int8"), ("attention", "sdpa"), ("mode", "x"), ("token_budget", 0), ("max_length", 1)],
)
def test_a_wrong_setting_is_named(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        ScorerConfig("m", **{field: value})  # type: ignore[arg-type]


@pytest.mark.slow
def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        Scorer(ScorerConfig(str(tmp_path / "nothing")))


@pytest.mark.slow
def test_no_language_model_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ModelLoadError, match=str(tmp_path)):
        Scorer(ScorerConfig(str(tmp_path)))


@pytest.mark.slow
def test_missing_weights_are_an_error_never_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_model(tmp_path, "qwen2", bos=True)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelLoadError, match="1 weights are missing"):
        Scorer(ScorerConfig(str(folder)))


def test_flash_attention_on_a_cpu_is_refused(tiny: Callable[..., Path]) -> None:
    with pytest.raises(ModelUnsupported, match="needs a GPU"):
        Scorer(ScorerConfig(str(tiny("llama")), device="cpu", attention="flash"))


def test_chat_without_a_template_is_refused(tiny: Callable[..., Path]) -> None:
    with pytest.raises(ModelUnsupported, match="no chat template"):
        Scorer(ScorerConfig(str(tiny("llama")), mode="chat"))


def test_threads_are_set(tiny: Callable[..., Path]) -> None:
    import torch

    Scorer(ScorerConfig(str(tiny("llama")), threads=2))
    assert torch.get_num_threads() == 2
    Scorer(ScorerConfig(str(tiny("llama")), threads=1))
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_stays_near_float32(tiny: Callable[..., Path], dtype: str) -> None:
    pair = Pair("Describe how bread is baked.", "", "First, mix flour and water; add salt.")
    (half,) = Scorer(ScorerConfig(str(tiny("llama")), dtype=dtype)).score([pair])
    (full,) = Scorer(ScorerConfig(str(tiny("llama")))).score([pair])
    assert half.loss_a == pytest.approx(full.loss_a, rel=0.05)


@pytest.mark.slow
def test_chat_mode_scores_the_turns_text_alone(tmp_path: Path) -> None:
    """L(Q) over the user's text, L(A|Q) and L(A) over the same answer tokens, all inside the template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = save_model(tmp_path, "llama", bos=True, chat_template=CHAT)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def loss(before: str, scored: str, after: str = "") -> float:
        border, stop = (len(tokenizer.encode(t, add_special_tokens=False)) for t in (before, before + scored))
        ids = torch.tensor([tokenizer.encode(before + scored + after, add_special_tokens=False)])
        with torch.no_grad():
            logits = model(ids).logits[0, border - 1 : stop - 1]
        return torch.nn.functional.cross_entropy(logits, ids[0, border:stop]).item()

    question, answer = "Name three rivers:", "the Nile, the Rhine and the Ob."
    (scores,) = Scorer(ScorerConfig(str(folder), mode="chat")).score([Pair(question, "", answer)])
    prompt = f"<s>[user] {question}\n[assistant] "
    assert scores.loss_q == pytest.approx(loss("<s>[user] ", question, "\n[assistant] "), rel=1e-5)
    assert scores.loss_a_given_q == pytest.approx(loss(prompt, answer), rel=1e-5)
    assert scores.loss_a == pytest.approx(loss("<s>[assistant] ", answer), rel=1e-5)
    assert scores.note is None
