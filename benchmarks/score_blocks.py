"""Timing of the scorer against three forwards a row and against the machine's matrix rate, block by block."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from three_forwards import ThreeForwards
from torch import nn

from scoring import Pair, Scorer, ScorerConfig, Scores

Result = TypeVar("Result")


@dataclass
class Timing:
    """Wall and CPU seconds of one piece of work; CPU seconds are those of all threads of the process."""

    wall: float
    cpu: float


@dataclass
class Block:
    """One block's measurements and what the scorer's work was worth in FLOPs."""

    rows: int
    tokens: int
    flops: float
    baseline: Timing
    packed: Timing
    matrix: Timing
    matrix_flops: float
    difference: float

    def of_matrix_rate(self, scored: Timing, clock: str) -> float:
        """FLOPs a second of the scorer over those of the matrix product, by the clock `wall` or `cpu`."""
        useful = self.flops / getattr(scored, clock)
        return float(useful / (self.matrix_flops / getattr(self.matrix, clock)))


def both_ways(model: Path, dtype: torch.dtype, device: str, compiled: bool = False) -> tuple[ThreeForwards, Scorer]:
    """What is compared, each with the model loaded.

    Attention not by cuDNN, which builds a plan for each length that it meets: at batch 1 that is most of the time.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    settings: dict[str, Any] = {"dtype": str(dtype).removeprefix("torch."), "device": device, "compiled": compiled}
    return ThreeForwards(model, dtype, device), Scorer(ScorerConfig(str(model), **settings))


def measure(
    baseline: ThreeForwards,
    scorer: Scorer,
    pairs: list[Pair],
    blocks: int,
    dtype: torch.dtype,
    device: str,
) -> list[Block]:
    """Interleave the measurements block by block, the ways of scoring in turns first."""
    multiply, matrix_flops = matrix_product(dtype, device)
    ways: list[Any] = [baseline, scorer]
    for way in ways:
        way.score(pairs[: 100 if device == "cuda" and way is scorer else 8])
    size = -(-len(pairs) // blocks)
    result: list[Block] = []
    for start in range(0, len(pairs), size):
        block = pairs[start : start + size]
        done = {way: timed(partial(way.score, block), device) for way in rotated(ways, len(result))}
        (expected, slow), (found, fast) = done[baseline], done[scorer]
        _, product = timed(multiply, device)
        lengths = sequence_lengths(baseline.tokenizer, block)
        work, apart = flops(baseline.model, lengths), difference(found, expected)
        result.append(Block(len(block), sum(lengths), work, slow, fast, product, matrix_flops, apart))
        print(f"block {len(result)}: {slow.wall:.1f} s, {fast.wall:.1f} s", file=sys.stderr, flush=True)
    return result


def rotated(ways: list[Any], by: int) -> list[Any]:
    """The same ways, beginning with another."""
    return ways[by % len(ways) :] + ways[: by % len(ways)]


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
    """What running sequences of these lengths is worth; the top of score_throughput.py says what counts."""
    config = model.config.get_text_config()
    weights = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    attention = 2 * config.num_hidden_layers * width * sum(length * (length + 1) for length in lengths)
    return float(2 * weights * sum(lengths) + attention)


def matrix_product(dtype: torch.dtype, device: str) -> tuple[Callable[[], object], float]:
    """A square matrix product and its FLOPs, large enough to show the machine's rate with all its threads."""
    size, times = (8192, 20) if device == "cuda" else (2048, 8)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(times):
            torch.mm(left, right)

    multiply()
    return multiply, 2.0 * size**3 * times


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def speed_rows(blocks: list[Block]) -> list[list[str]]:
    """What was measured, and its value: a median over blocks with its range."""
    gflops = [block.flops / 1e9 for block in blocks]
    walls = [block.packed.wall for block in blocks]
    return [
        ["rows", str(sum(block.rows for block in blocks))],
        ["largest relative difference of a loss", f"{max(block.difference for block in blocks):.0e}"],
        ["rows/s against three forwards", spread([b.baseline.wall / b.packed.wall for b in blocks])],
        ["the same in CPU seconds", spread([b.baseline.cpu / b.packed.cpu for b in blocks])],
        ["of the measured matrix rate", spread([b.of_matrix_rate(b.packed, "wall") for b in blocks])],
        ["the same in CPU seconds", spread([b.of_matrix_rate(b.packed, "cpu") for b in blocks])],
        ["matrix rate, GFLOP/s", spread([b.matrix_flops / b.matrix.wall / 1e9 for b in blocks], 0)],
        ["GFLOP a row", spread([g / b.rows for g, b in zip(gflops, blocks, strict=True)], 1)],
        ["rows/s", spread([b.rows / w for b, w in zip(blocks, walls, strict=True)])],
        ["tokens/s", spread([b.tokens / w for b, w in zip(blocks, walls, strict=True)], 0)],
    ]
