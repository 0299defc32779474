"""Loading a causal language model or a reward model, whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils.import_utils import is_torch_cuda_available

from scoring.config import RewardConfig, ScorerConfig
from scoring.errors import ModelLoadError, ModelNotFound, ModelUnsupported
from scoring.pretrained import cause, load_whole


def load_model(config: ScorerConfig) -> PreTrainedModel:
    """The model in evaluation mode, on its device, in its dtype, with an attention of its own that is exact.

    Raises `ModelNotFound` or `ModelLoadError`; weights missing from the files are an error, never random.
    """
    return _loaded(AutoModelForCausalLM, "a causal language model", config, _settings(config.model))


def load_reward_model(config: RewardConfig) -> PreTrainedModel:
    """The sequence classification model likewise. Raises `ModelUnsupported` as well, unless it has one label."""
    settings = _settings(config.model, config.trust_remote_code)
    if settings.num_labels != 1:
        raise ModelUnsupported(
            f"{config.model}: expected a reward model with one label, this has {settings.num_labels}"
        )
    return _loaded(AutoModelForSequenceClassification, "a sequence classification model", config, settings)


def _loaded(loader: Any, kind: str, config: ScorerConfig | RewardConfig, settings: PretrainedConfig) -> PreTrainedModel:
    device = ("cuda" if is_torch_cuda_available() else "cpu") if config.device == "auto" else config.device
    dtype = ("float32" if device == "cpu" else "bfloat16") if config.dtype == "auto" else config.dtype
    # cuDNN's attention builds a plan for each shape it meets, a millisecond or two; with lengths as they come that
    # was nine tenths of a pass.
    torch.backends.cuda.enable_cudnn_sdp(False)
    loaded: PreTrainedModel = load_whole(
        loader,
        config.model,
        kind,
        device,
        trust_remote_code=isinstance(config, RewardConfig) and config.trust_remote_code,
        dtype=dtype,
        attn_implementation=_own_attention(settings),
    )
    return loaded


def context_length(model: PreTrainedModel) -> int | None:
    """Tokens of the model's context, None if its configuration names no limit."""
    settings: Any = model.config.get_text_config()
    for name in ("max_position_embeddings", "max_seq_len", "seq_length"):
        limit = getattr(settings, name, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def _settings(model: str, trust_remote_code: bool = False) -> PretrainedConfig:
    if not (Path(model) / "config.json").is_file() and (Path(model).is_absolute() or Path(model).exists()):
        raise ModelNotFound(f"{model}: expected a folder with a config.json")
    try:
        settings: PretrainedConfig = AutoConfig.from_pretrained(model, trust_remote_code=trust_remote_code)
    except OSError as error:
        raise ModelNotFound(f"{model}: neither a folder with a config.json nor a model that the hub offers") from error
    except (ValueError, KeyError) as error:
        raise ModelLoadError(f"{model}: its config.json names no known model: {cause(error)}") from error
    return settings


def _own_attention(settings: PretrainedConfig) -> str | None:
    # The sdpa path of transformers leaves out the soft-cap on attention logits; only the eager one has it.
    capped = getattr(settings.get_text_config(), "attn_logit_softcapping", None) is not None
    return "eager" if capped else None
