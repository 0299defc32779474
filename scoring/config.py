"""How to score: one frozen configuration, checked when it is made."""

from dataclasses import dataclass
from typing import Literal, get_args

from scoring.errors import ConfigError

Attention = Literal["auto", "flash", "packed", "padded"]
Mode = Literal["plain", "chat"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class ScorerConfig:
    """Settings of a `Scorer`; raises `ConfigError` where one is not allowed.

    model: folder or hub id of a Hugging Face causal language model.
    dtype: of weights and forward pass; `auto` is float32 on a CPU, bfloat16 on a GPU. Losses are float32.
    device: a torch device, or `auto` for a GPU where there is one.
    attention: `flash` (FlashAttention's variable-length kernel, which torch brings: half precision on a GPU),
        `packed` (the same layout, one causal attention for the sequences of a length), `padded` (the model's
        own attention on length-sorted batches), or `auto`: the first that fits.
    compiled: with `flash`, compile the model's layers when it is loaded, which takes tens of seconds.
    token_budget: tokens of one forward pass; None takes it from the free memory.
    mode: `plain`, the paper's rule, or `chat`, through the model's chat template.
    truncate: cut text beyond `max_length` and note it, instead of leaving its losses null.
    max_length: longest sequence in tokens; None takes the model's context.
    threads: CPU threads of this process, None leaves them as they are.
    """

    model: str
    dtype: Dtype = "auto"
    device: str = "auto"
    attention: Attention = "auto"
    compiled: bool = False
    token_budget: int | None = None
    mode: Mode = "plain"
    truncate: bool = False
    max_length: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        _one_of("dtype", self.dtype, get_args(Dtype))
        _one_of("attention", self.attention, get_args(Attention))
        _one_of("mode", self.mode, get_args(Mode))
        _at_least("token_budget", self.token_budget, 1)
        _at_least("max_length", self.max_length, 2)
        _at_least("threads", self.threads, 1)


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Settings of a `RewardScorer`; raises `ConfigError` where one is not allowed.

    model: folder or hub id of a Hugging Face sequence classification model with one label.
    dtype, device: as in `ScorerConfig`.
    token_budget: tokens of one forward pass, padding included; None takes a default for the device.
    trust_remote_code: run the code that came with the model's files. Nobody is ever asked.
    """

    model: str
    dtype: Dtype = "auto"
    device: str = "auto"
    token_budget: int | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        _one_of("dtype", self.dtype, get_args(Dtype))
        _at_least("token_budget", self.token_budget, 1)


def _one_of(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{field}: {value!r} is not one of {', '.join(allowed)}")


def _at_least(field: str, value: int | None, minimum: int) -> None:
    if value is not None and value < minimum:
        raise ConfigError(f"{field}: {value} is less than {minimum}")
