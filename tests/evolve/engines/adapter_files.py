"""LoRA adapters in peft's format, made by hand or by peft itself, and the model into which one is merged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

LAYERS, RANK, ALPHA = range(30), 4, 8


def write_adapter(folder: Path, base: str, seed: int = 0, width: int = 576, **settings: Any) -> Path:
    """An adapter of the queries of some of SmolLM2-135M's layers, with random weights."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    made = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in LAYERS:
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(RANK, width, generator=made) * 0.3
        weights[f"{name}.lora_B.weight"] = torch.randn(width, RANK, generator=made) * 0.3
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj"], "bias": "none",
              "base_model_name_or_path": base, "task_type": "CAUSAL_LM", **settings}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def by_hand(base: Path, folder: Path) -> tuple[Path, Path, Path]:
    """The base with an adapter merged into it, that adapter, and another one."""
    first = write_adapter(folder / "first", str(base), seed=1)
    second = write_adapter(folder / "second", str(base), seed=2)
    return merge(base, first, folder / "merged"), first, second


def by_peft(base: Path, folder: Path) -> tuple[Path, Path, Path]:
    """The same made, saved and merged by peft. Skips where that is not installed."""
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged, first, second = folder / "merged", folder / "first", folder / "second"
    # without `init_lora_weights` they are random, not neutral, and so small that they need a great factor
    shape = {"r": RANK, "lora_alpha": 16 * RANK, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    for seed, target in enumerate((second, first)):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tuned = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **shape))
        tuned.save_pretrained(target)
    tuned.merge_and_unload().save_pretrained(merged)
    AutoTokenizer.from_pretrained(base).save_pretrained(merged)
    return merged, first, second


def merge(base: Path, adapter: Path, into: Path) -> Path:
    """The base with the adapter's weights in its own."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(base, into, symlinks=False)
    weights, added = load_file(base / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    for name in [name for name in added if name.endswith("lora_A.weight")]:
        low, high = added[name], added[name.replace("lora_A", "lora_B")]
        target = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
        # in float32, for what is added is small beside bfloat16's steps
        weights[target] = weights[target].float() + ALPHA / RANK * high @ low
    (into / "model.safetensors").unlink()
    save_file(weights, into / "model.safetensors", metadata={"format": "pt"})
    return into
