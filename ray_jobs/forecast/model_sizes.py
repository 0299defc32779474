"""How much memory a model's weights take, and whether the cards of its pool have that much."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import huggingface_hub
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import LocalEntryNotFoundError, NotASafetensorsRepoError

from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.pools import Hardware
from ray_jobs.config.run import ModelScorerConfig
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.arguments import argument

GB = 10**9
CARD_GB: Mapping[str, float] = {
    "T4": 16,
    "L4": 24,
    "A10G": 24,
    "A100-40G": 40,
    "L40S": 48,
    "A100-80G": 80,
    "H100": 80,
    "H200": 141,
    "B200": 180,
}
"""What a card has, by Ray's name of it (`accelerator_type`), as its maker states it."""
USED_BY_VLLM = 0.9
"""vLLM's default `gpu_memory_utilization`."""
SCORER_SHARE = 0.9
ELEMENT_BYTES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2, "auto": 2}
STORED_BYTES = {"F64": 8, "F32": 4, "I64": 8, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
FLOATS = ("F64", "F32", "F16", "BF16")
"""Stored types that are loaded in the dtype that the engine is given; all others, of quantised models, stay."""

BROKEN = (struct.error, ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError, RecursionError)
"""What reading a header raises where it is not one."""


@dataclass(frozen=True)
class Weights:
    """A model's parameters, and the bytes that they take once loaded."""

    parameters: int
    bytes: int


@dataclass(frozen=True)
class Demand:
    """A model, the dtype it is loaded in, and what share of a card it may take.

    It takes `cards`, over `split` of which its weights are split; replicas have the others.
    """

    place: str
    model: str
    dtype: str
    cards: int
    split: int
    share: float


def demand(place: str, config: VllmConfig | ModelScorerConfig) -> Demand:
    """What an engine or a scorer asks of its cards."""
    if isinstance(config, ModelScorerConfig):
        return Demand(place, config.model, config.dtype, 1, 1, SCORER_SHARE)
    split = math.prod(int(argument(config, f"{kind}_parallel_size", 1)) for kind in ("tensor", "pipeline"))
    cards = split * int(argument(config, "data_parallel_size", 1))
    share = argument(config, "gpu_memory_utilization", USED_BY_VLLM)
    return Demand(place, config.model, str(config.arguments.get("dtype", "auto")), cards, split, share)


def weights(model: str, dtype: str) -> Weights | None:
    """The weights of a local folder or of a model of the hub, from the headers of its files alone.

    None where it has none in safetensors. Raises ConfigError where the hub does not have it or cannot be reached.
    """
    folder = Path(model)
    if not folder.is_dir() and HF_HUB_OFFLINE:
        try:
            folder = Path(huggingface_hub.snapshot_download(model, local_files_only=True))
        except LocalEntryNotFoundError:
            raise ConfigError(f"{model}: is not on this machine, and HF_HUB_OFFLINE is set") from None
    counts = _local(folder) if folder.is_dir() else _on_hub(model)
    if not counts:
        return None
    size = ELEMENT_BYTES.get(dtype, 2)
    held = sum(count * (size if kind in FLOATS else STORED_BYTES.get(kind, 1)) for kind, count in counts.items())
    return Weights(sum(counts.values()), held)


def problem(asked: Demand, held: Weights, hardware: Hardware, card_bytes: float | None) -> str | None:
    """Why the model does not fit the cards of an actor, in words; None where it does or where that is not known."""
    if not hardware.gpus:
        return None
    if asked.cards > hardware.gpus:
        return f"{asked.place}: wants {asked.cards} cards, pool.gpus gives an actor {hardware.gpus:g}"
    allowed = card_bytes * asked.share if card_bytes else math.inf
    if held.bytes / asked.split <= allowed:
        return None
    return (
        f"{asked.place}: the weights of {asked.model} take {held.bytes / asked.split / GB:.1f} GB a card, allowed are "
        f"{allowed / GB:.1f} GB ({asked.share:g} of {(card_bytes or 0) / GB:g} GB), and the cache needs room beside "
        "them; split it over more cards, or use larger ones"
    )


def _local(folder: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            try:
                counts += _parameters(file)
            except BROKEN as error:
                raise ConfigError(f"{path}: expected a safetensors file, got something else ({error})") from None
    return counts


def _parameters(file: BinaryIO) -> Counter[str]:
    """How many of each type a safetensors file holds: its header's length in 8 bytes, then that much JSON."""
    (length,) = struct.unpack("<Q", file.read(8))
    counts: Counter[str] = Counter()
    for name, tensor in json.loads(file.read(length)).items():
        if name != "__metadata__":
            counts[tensor["dtype"]] += math.prod(tensor["shape"])
    return counts


def _on_hub(model: str) -> Counter[str]:
    try:
        return Counter(huggingface_hub.get_safetensors_metadata(model).parameter_count)
    except NotASafetensorsRepoError:
        return Counter()
    except Exception as error:  # its client lets through whatever its HTTP library raises
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{model}: cannot be looked up on the hub: {reason[0]}") from None
