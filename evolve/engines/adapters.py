"""LoRA adapters as peft writes them: what their files say, checked before anything is loaded. Free of vLLM."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evolve.errors import SettingError

CONFIG, WEIGHTS = "adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin")
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The greatest ranks for which vLLM makes room; an adapter gets the smallest that holds it."""


_LAYER = re.compile(r"\.layers\.(\d+)\.")


@dataclass(frozen=True)
class Adapter:
    """One adapter: its folder, the model that it was trained on as its file names it, and its rank."""

    path: str
    base: str
    rank: int

    @property
    def room(self) -> int:
        """The rank that an engine makes room for."""
        return next(rank for rank in RANKS if rank >= self.rank)


def read_adapter(path: str, model: str) -> Adapter:
    """The LoRA adapter in the folder `path`, for an engine that serves `model`.

    Raises SettingError, naming the field `adapter`, where there is none, where vLLM has no such kind, and where it is
    of another base.
    """
    folder = Path(path)
    if not (folder / CONFIG).is_file() or not any((folder / name).is_file() for name in WEIGHTS):
        raise SettingError(f"adapter: expected a folder with {CONFIG} and {WEIGHTS[0]}, {path} is none")
    found = _settings(folder / CONFIG)
    kind, rank, base = found.get("peft_type"), found.get("r"), found.get("base_model_name_or_path")
    if kind != "LORA":
        raise SettingError(f"adapter: expected a LoRA adapter (peft_type LORA), {path} is of type {kind}")
    if not isinstance(rank, int) or not 1 <= rank <= RANKS[-1]:
        raise SettingError(f"adapter: expected a rank r from 1 to {RANKS[-1]}, {path} has {rank}")
    for name, plain in (("use_dora", False), ("bias", "none"), ("modules_to_save", None)):
        if (found.get(name) or plain) != plain:
            raise SettingError(f"adapter: vLLM serves no adapter with {name}: {found[name]}, as {path} has it")
    adapter = Adapter(path, base if isinstance(base, str) else "", rank)
    _check_base(adapter, model)
    return adapter


def _check_base(adapter: Adapter, model: str) -> None:
    """Two names of the hub say it; a folder's name says nothing, so there the shapes of the weights do."""
    if _on_hub(adapter.base) and _on_hub(model) and adapter.base.lower() != model.lower():
        raise SettingError(
            f"adapter: {adapter.path} was trained on {adapter.base}; expected an adapter of the engine's model, {model}"
        )
    shape, (width, layers) = Path(model) / "config.json", _shape(Path(adapter.path) / WEIGHTS[0])
    if not shape.is_file():
        return
    found = _settings(shape)
    held, deep = found.get("hidden_size"), found.get("num_hidden_layers")
    if (isinstance(held, int) and width not in (None, held)) or (isinstance(deep, int) and layers > deep):
        raise SettingError(
            f"adapter: {adapter.path} is of another base ({adapter.base or 'without a name'}): its weights are for "
            f"{width or 'unknown'} dimensions and {layers} layers or more, expected {held} and {deep}, as {model} has"
        )


def _on_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).is_dir()


def _shape(path: Path) -> tuple[int | None, int]:
    """The dimensions that a safetensors file's adapter of attention reads, and the layers that it needs."""
    if not path.is_file():
        return None, 0
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header: dict[str, Any] = json.loads(file.read(length))
            widths = [item["shape"][1] for name, item in header.items() if name.endswith("q_proj.lora_A.weight")]
        except (struct.error, ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
            raise SettingError(f"adapter: expected a safetensors file, {path} is none ({error})") from None
    layers = [int(found[1]) for name in header if (found := _LAYER.search(name))]
    return (widths[0] if widths else None), 1 + max(layers, default=-1)


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingError(f"adapter: expected JSON in {path}: {error}") from None
    if not isinstance(found, dict):
        raise SettingError(f"adapter: expected an object in {path}")
    return found
