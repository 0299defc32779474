"""Peak memory that a pass adds, with full logits and with the scorer; on a CPU each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from three_forwards import ThreeForwards
from transformers import AutoModelForCausalLM

from scoring import Pair, Scorer, ScorerConfig

TOKENS = 1024
VARIANTS = ("full", "tiled", "parallel")


def memory_rows(program: str, model: Path, pairs: list[Pair]) -> list[list[str]]:
    """What was measured, and its value. `program` is run again with --memory-of for each variant."""
    amounts = {variant: _added(program, variant, model, pairs) for variant in VARIANTS}
    mib = {variant: f"{amount / 2**20:.0f} MiB" for variant, amount in amounts.items()}
    ratios = {variant: f"{amounts['full'] / max(amount, 1):.0f}x less" for variant, amount in amounts.items()}
    return [
        [f"memory added by full logits, {TOKENS} tokens", mib["full"]],
        ["memory added by the scorer, the same tokens, one pass at once", f"{mib['tiled']}, {ratios['tiled']}"],
        [
            f"the same with {torch.get_num_threads()} passes at once, twice the tokens",
            f"{mib['parallel']}, {ratios['parallel']}",
        ],
    ]


def device_memory_rows(baseline: ThreeForwards, scorer: Scorer, pairs: list[Pair]) -> list[list[str]]:
    """The same for a GPU, which counts what it allocates, at the scorer's token budget."""
    tokens = scorer.token_budget
    ids = torch.arange(tokens, device="cuda")[None] % 1000
    weights = torch.cuda.memory_allocated() / 2
    full = _added_on_device(lambda: baseline.loss(ids, ids))
    tiled = _added_on_device(lambda: scorer.score(pairs))
    return [
        ["weights", f"{weights / 2**30:.1f} GiB"],
        [f"memory added by full logits, {tokens} tokens", f"{full / 2**30:.1f} GiB"],
        ["memory added by the scorer, the same tokens a pass", f"{tiled / 2**30:.1f} GiB, {full / tiled:.0f}x less"],
    ]


def _added_on_device(work: Callable[[], object]) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


def _added(program: str, variant: str, model: Path, pairs: list[Pair]) -> int:
    command = [sys.executable, program, "--memory-of", variant, "--model", str(model)]
    rows = json.dumps([asdict(pair) for pair in pairs])
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=rows)
    return int(done.stdout.split()[-1])


def memory_child(variant: str, model: Path) -> None:
    """Print the peak of resident bytes that one batch adds to a process which has loaded the model and run once."""
    pairs = [Pair(**row) for row in json.load(sys.stdin)]
    if variant == "full":
        loader: Any = AutoModelForCausalLM
        whole = loader.from_pretrained(model, dtype=torch.float32).eval()
        ids = torch.arange(TOKENS)[None] % 1000

        def run(tokens: int) -> None:
            with torch.inference_mode():
                whole(input_ids=ids[:, :tokens], labels=ids[:, :tokens], use_cache=False)
    else:
        threads = 1 if variant == "tiled" else None
        scorer = Scorer(ScorerConfig(str(model), dtype="float32", token_budget=TOKENS, threads=threads))

        def run(tokens: int) -> None:
            scorer.score(pairs[: 1 if tokens < TOKENS else None])

    run(8)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run(TOKENS)
    print(_status("VmHWM") - before)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
