"""How fast scoring is, how near the machine's matrix rate, and how much memory it takes.

    python benchmarks/score_throughput.py [--model DIR] [--wide-model DIR] [--data FILE] [--rows 256] [--blocks 4]

`--model` is SmolLM2-135M-Instruct, `--wide-model` a model with a large vocabulary (Gemma-3-270M: 262,144 entries).
Rows go in blocks. Each block is scored by three forwards at batch 1, then by `scoring.Scorer`, then a large matrix
product is timed; ratios are taken within a block. CPU seconds count every thread of the process: where other
programs share the cores they say more than the wall clock.

FLOPs: 2 a weight of each linear layer and of the LM head and token run, and 2 x layers x heads x head width x L x
(L + 1) for the causal attention of a sequence of L tokens. Norms, activations and softmax are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from tables import markdown, publish
from three_forwards import ThreeForwards
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from scoring import Pair, Scorer, ScorerConfig, Scores

ROOT = Path(__file__).parents[1]
MODEL = ROOT / ".cache/models/smollm2-135m-instruct"
WIDE_MODEL = ROOT / ".cache/models/gemma-3-270m"
DATA = ROOT.parent / "shared/data/alpaca_en_demo.json"
MEMORY_TOKENS = 1024
Result = TypeVar("Result")


@dataclass
class Timing:
    """Wall and CPU seconds of one piece of work."""

    wall: float
    cpu: float


@dataclass
class Block:
    """One block's three measurements and what the scorer's work was worth in FLOPs."""

    rows: int
    tokens: int
    flops: float
    baseline: Timing
    packed: Timing
    matrix: Timing
    matrix_flops: float
    difference: float


def timed(work: Callable[[], Result], device: str) -> tuple[Result, Timing]:
    """Run `work` to its end, on the device too."""
    synchronise: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else time.perf_counter
    synchronise()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    synchronise()
    return result, Timing(time.perf_counter() - wall, time.process_time() - cpu)


def difference(found: Sequence[Scores], expected: Sequence[tuple[float, float, float]]) -> float:
    """The largest relative difference between two losses that both ways define."""
    pairs = [
        (value, reference)
        for scores, references in zip(found, expected, strict=True)
        for value, reference in zip((scores.loss_q, scores.loss_a_given_q, scores.loss_a), references, strict=True)
        if value and reference == reference
    ]
    return max(abs(value - reference) / reference for value, reference in pairs)


def sequence_lengths(tokenizer: Any, pairs: Sequence[Pair]) -> list[int]:
    """Tokens run for each sequence: the last one of a text needs no pass."""
    texts = [text for pair in pairs for text in (f"{pair.question}\n{pair.output}", pair.output)]
    return [len(ids) - 1 for ids in tokenizer(texts)["input_ids"]]


def flops(model: Any, lengths: Sequence[int]) -> float:
    """See the top of this file."""
    config = model.config.get_text_config()
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    attention = 2 * config.num_hidden_layers * width * sum(length * (length + 1) for length in lengths)
    return float(2 * weights * sum(lengths) + attention)


def matrix_product(dtype: torch.dtype, device: str) -> tuple[Callable[[], object], float]:
    """A square matrix product and its FLOPs, large enough to show the machine's rate."""
    size, times = (8192, 20) if device == "cuda" else (2048, 8)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(times):
            torch.mm(left, right)

    multiply()
    return multiply, 2.0 * size**3 * times


def measure(model: Path, pairs: list[Pair], blocks: int, dtype: torch.dtype, device: str) -> list[Block]:
    """Interleave the three measurements block by block."""
    baseline = ThreeForwards(model, dtype, device)
    scorer = Scorer(ScorerConfig(str(model), dtype=str(dtype).removeprefix("torch."), device=device))  # type: ignore[arg-type]
    tokenizer = AutoTokenizer.from_pretrained(model)
    multiply, matrix_flops = matrix_product(dtype, device)
    baseline.score(pairs[:2])
    scorer.score(pairs[:8])
    size = -(-len(pairs) // blocks)
    result = []
    for start in range(0, len(pairs), size):
        block = pairs[start : start + size]
        lengths = sequence_lengths(tokenizer, block)
        work = flops(baseline.model, lengths)
        expected, slow = timed(partial(baseline.score, block), device)
        found, fast = timed(partial(scorer.score, block), device)
        _, product = timed(multiply, device)
        apart = difference(found, expected)
        result.append(Block(len(block), sum(lengths), work, slow, fast, product, matrix_flops, apart))
        print(f"block {len(result)}: {slow.wall:.1f} s, {fast.wall:.1f} s", file=sys.stderr, flush=True)
    return result


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def speed_rows(name: str, blocks: list[Block]) -> list[list[str]]:
    """The table's rows on speed, each a median over blocks with its range."""
    gflops = [block.flops / 1e9 for block in blocks]
    walls = [block.packed.wall for block in blocks]

    def rate(block: Block, timing: str) -> float:
        useful = block.flops / getattr(block.packed, timing)
        return float(useful / (block.matrix_flops / getattr(block.matrix, timing)))

    return [
        [name, "rows", str(sum(block.rows for block in blocks))],
        [name, "largest relative difference of a loss", f"{max(block.difference for block in blocks):.0e}"],
        [name, "rows/s against three forwards", spread([b.baseline.wall / b.packed.wall for b in blocks])],
        [name, "the same in CPU seconds", spread([b.baseline.cpu / b.packed.cpu for b in blocks])],
        [name, "of the measured matrix rate", spread([rate(block, "wall") for block in blocks])],
        [name, "the same in CPU seconds", spread([rate(block, "cpu") for block in blocks])],
        [name, "matrix rate, GFLOP/s", spread([b.matrix_flops / b.matrix.wall / 1e9 for b in blocks], 0)],
        [name, "GFLOP a row", spread([g / b.rows for g, b in zip(gflops, blocks, strict=True)], 1)],
        [name, "rows/s", spread([b.rows / w for b, w in zip(blocks, walls, strict=True)])],
        [name, "tokens/s", spread([b.tokens / w for b, w in zip(blocks, walls, strict=True)], 0)],
    ]


def added_memory(variant: str, model: Path, pairs: list[Pair]) -> int:
    """Peak resident bytes that a batch of 1,024 tokens adds, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", variant, "--model", str(model)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, input=json.dumps([vars_of(pair) for pair in pairs])
    )
    return int(done.stdout.split()[-1])


def vars_of(pair: Pair) -> dict[str, str]:
    """A pair as JSON has it."""
    return {"instruction": pair.instruction, "input": pair.input, "output": pair.output}


def memory_child(variant: str, model: Path) -> None:
    """Print the peak that one batch adds to a process which has loaded the model and run once."""
    pairs = [Pair(**row) for row in json.load(sys.stdin)]
    if variant == "full":
        loader: Any = AutoModelForCausalLM
        whole = loader.from_pretrained(model, dtype=torch.float32).eval()
        ids = torch.arange(MEMORY_TOKENS)[None] % 1000

        def run(tokens: int) -> None:
            with torch.inference_mode():
                whole(input_ids=ids[:, :tokens], labels=ids[:, :tokens], use_cache=False)
    else:
        threads = 1 if variant == "tiled" else None
        scorer = Scorer(ScorerConfig(str(model), dtype="float32", token_budget=MEMORY_TOKENS, threads=threads))

        def run(tokens: int) -> None:
            scorer.score(pairs[: 1 if tokens < MEMORY_TOKENS else None])

    run(8)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run(MEMORY_TOKENS)
    print(_status("VmHWM") - before)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def memory_rows(name: str, model: Path, pairs: list[Pair]) -> list[list[str]]:
    """The table's rows on memory."""
    amounts = {variant: added_memory(variant, model, pairs) for variant in ("full", "tiled", "parallel")}
    mib = {variant: f"{amount / 2**20:.0f} MiB" for variant, amount in amounts.items()}
    ratio = amounts["full"] / max(amounts["tiled"], 1)
    return [
        [name, f"memory added by full logits, {MEMORY_TOKENS} tokens", mib["full"]],
        [name, "memory added by the scorer, the same tokens, one pass at once", f"{mib['tiled']}, {ratio:.0f}x less"],
        [name, f"the same with {torch.get_num_threads()} passes at once", mib["parallel"]],
    ]


def gpu_rows(tokenizer: Path, pairs: list[Pair], blocks: int) -> list[list[str]]:
    """A random model in the shape of Llama-3.2-3B, in bfloat16."""
    config = LlamaConfig(
        hidden_size=3072, intermediate_size=8192, num_hidden_layers=28, num_attention_heads=24, head_dim=128,
        num_key_value_heads=8, vocab_size=128256, max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        with torch.device("cuda"):
            maker: Any = AutoModelForCausalLM
            model = maker.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
        del model
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        found = measure(Path(folder), pairs, blocks, torch.bfloat16, "cuda")
    peak = torch.cuda.max_memory_allocated() / 2**30
    name = f"random 3B, bfloat16, {torch.cuda.get_device_name()}"
    return [*speed_rows(name, found), [name, "peak device memory, both models", f"{peak:.1f} GiB"]]


def main() -> None:
    """Measure what the options name and publish one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--wide-model", type=Path, default=WIDE_MODEL)
    parser.add_argument("--data", type=Path, default=DATA, help="JSON array of instruction, input, output")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--wide-rows", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--memory-of", choices=["full", "tiled", "parallel"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory_child(options.memory_of, options.model)
        return
    if not options.data.is_file():
        raise SystemExit(f"{options.data}: no such file; --data names a JSON array of instruction, input, output")
    pairs = [Pair(row["instruction"], row["input"], row["output"]) for row in json.loads(options.data.read_text())]
    load = os.getloadavg()[0]
    table: list[list[str]] = []
    notes = [f"{torch.get_num_threads()} threads, load average {load:.1f} at the start, torch {torch.__version__}."]
    for name, folder, rows in (
        (options.model.name, options.model, options.rows),
        (options.wide_model.name, options.wide_model, options.wide_rows),
    ):
        if not (folder / "config.json").is_file():
            notes.append(f"No model at {folder}: not measured.")
            continue
        table += speed_rows(name, measure(folder, pairs[:rows], options.blocks, torch.float32, "cpu"))
        table += memory_rows(name, folder, pairs[:24])
    if torch.cuda.is_available():
        table += gpu_rows(options.model, pairs, options.blocks)
    else:
        notes.append("No GPU here: the same command measures a random 3B model in bfloat16 where there is one.")
    publish("score_throughput", " ".join(notes) + "\n\n" + markdown(["model", "measured", "value"], table))


if __name__ == "__main__":
    main()
