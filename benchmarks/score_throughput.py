"""How fast scoring is, how near the machine's matrix rate, and how much memory it takes.

    python benchmarks/score_throughput.py [--part small|wide|random] [--data FILE] [--rows N] [--blocks N]

`small` is SmolLM2-135M-Instruct (`--model`), `wide` a model with a large vocabulary (`--wide-model`; docs/benchmarks.md
says how to get Gemma-3-270M: 262,144 entries), `random` a model with random weights in the `--shape` of a Llama of 3B,
for a GPU; `--shape tiny --device cpu` tries that part where there is none. Without `--part` all that can be done are.

Rows go in blocks. Each block is scored by three forwards at batch 1 and by `scoring.Scorer`, then a large matrix
product is timed; ratios are taken within a block. CPU seconds count every thread of the process: where other
programs share the cores they say more than the wall clock.

FLOPs: 2 a weight of each linear layer and of the LM head and token run, and 2 x layers x heads x head width x L x
(L + 1) for the causal attention of a sequence of L tokens. Norms, activations and softmax are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from score_blocks import both_ways, measure, speed_rows
from score_memory import VARIANTS, device_memory_rows, memory_child, memory_rows
from tables import markdown, publish
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from scoring import Pair

ROOT = Path(__file__).parents[1]
MODEL = ROOT / ".cache/models/smollm2-135m-instruct"
WIDE_MODEL = ROOT / ".cache/models/gemma-3-270m"
DATA = ROOT.parent / "shared/data/alpaca_en_demo.json"
ROWS = {"small": 256, "wide": 64, "random": 960}
SHAPES = {
    # Llama-3.2-3B's
    "3b": {
        "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
    },
    "tiny": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 49152,
    },
}  # fmt: skip


def folder_part(folder: Path, pairs: list[Pair], blocks: int) -> list[list[str]]:
    """Speed and memory with the model in a folder, in float32 on the CPU."""
    ways = both_ways(folder, torch.float32, "cpu")
    measured = measure(*ways, pairs, blocks, torch.float32, "cpu")
    return [*speed_rows(measured), *memory_rows(__file__, folder, pairs[:24])]


def random_part(options: argparse.Namespace, pairs: list[Pair]) -> list[list[str]]:
    """Speed with random weights in bfloat16, and on a GPU the memory."""
    maker: Any = AutoModelForCausalLM
    device = options.device
    config = LlamaConfig(**SHAPES[options.shape], max_position_embeddings=8192, tie_word_embeddings=True)
    with tempfile.TemporaryDirectory() as folder:
        with torch.device(device):
            maker.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(options.model).save_pretrained(folder)
        baseline, scorer = both_ways(Path(folder), torch.bfloat16, device, options.compiled)
    rows = speed_rows(measure(baseline, scorer, pairs, options.blocks, torch.bfloat16, device))
    return [*rows, *device_memory_rows(baseline, scorer, pairs)] if device == "cuda" else rows


def run_part(part: str, options: argparse.Namespace, pairs: list[Pair]) -> None:
    """Measure one part and make its table the section score_PART of docs/benchmarks.md."""
    note = f"{torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.1f} at the start, "
    note += f"torch {torch.__version__}, "
    pairs = pairs[: options.rows or ROWS[part]]
    if part == "random":
        name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
        note += f"a random model of shape {options.shape}, bfloat16, {name}."
        table = random_part(options, pairs)
    else:
        folder = options.model if part == "small" else options.wide_model
        note += f"{folder.name}, float32."
        table = folder_part(folder, pairs, options.blocks)
    text = f"{note}\n\n{markdown(['measured', 'value'], table)}"
    if part == "random" and options.device == "cpu":
        print(text)  # shows that the part works, which is no result
    else:
        publish(f"score_{part}", text)


def missing(part: str, options: argparse.Namespace) -> str | None:
    """Why a part cannot be done here, if it cannot."""
    if part == "random":
        return None if options.device == "cpu" or torch.cuda.is_available() else "no GPU"
    folder = options.model if part == "small" else options.wide_model
    return None if (folder / "config.json").is_file() else f"no model at {folder}"


def main() -> None:
    """Measure what the options name, each part with a table of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", choices=list(ROWS))
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--wide-model", type=Path, default=WIDE_MODEL)
    parser.add_argument("--shape", choices=list(SHAPES), default="3b")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="of the random model")
    parser.add_argument("--compiled", action="store_true", help="compile the random model's layers, on a GPU")
    parser.add_argument("--data", type=Path, default=DATA, help="JSON array of instruction, input, output")
    parser.add_argument("--rows", type=int, help=f"{ROWS} by default")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory_child(options.memory_of, options.model)
        return
    if not options.data.is_file():
        raise SystemExit(f"{options.data}: no such file; --data names a JSON array of instruction, input, output")
    pairs = [Pair(row["instruction"], row["input"], row["output"]) for row in json.loads(options.data.read_text())]
    for part in [options.part] if options.part else ROWS:
        if why := missing(part, options):
            print(f"{part}: {why}, not measured")
        else:
            run_part(part, options, pairs)


if __name__ == "__main__":
    main()
