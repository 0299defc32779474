"""An AutoIF run on the scripted engine whose funnel can be told by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray_jobs.jobs.autoif.config import AutoIFConfig
from tests.ray_jobs.samples import write_seeds

CONSTRAINTS = "Mention the word slate once or more\nMention the word topaz once or more, without code\n"
QUERIES = [
    *(f"Explain to me how number {number} got its name." for number in range(4)),
    "Explain to me how one can sing badly.",
    "Explain to me how one can sing oddly.",
    "Explain to me how one can sing weakly.",
    "Too short a query.",
    "Too long a query. " * 20,
]
ENGINE = {"kind": "scripted", "reply": "autoif"}


def autoif_config(folder: Path, strategy: dict[str, Any] | None = None, **changes: Any) -> AutoIFConfig:
    """Two evolvers, of which `large` refuses to write code for amber; `strategy` goes over the official constants."""
    folder.mkdir(exist_ok=True)
    (folder / "constraints.txt").write_text(CONSTRAINTS, encoding="utf-8")
    if not (folder / "queries.jsonl").exists():
        write_seeds(folder / "queries.jsonl", QUERIES)
    pool = {"size": 1, "batch_rows": 4, "cpus": 0.5}
    log = {"call_log": str(folder / "calls")}
    small = {"engine": {**ENGINE, **log, "model": "small"}, "pool": pool}
    large = {"engine": {**ENGINE, **log, "model": "large", "refuse_text": "word amber"}, "pool": pool}
    settings: dict[str, Any] = {
        "kind": "autoif",
        "preset": "official",
        "constraints": str(folder / "constraints.txt"),
        "augment_calls": 2,
        "replies": 3,
        "cross_validation": {"min_cases": 6},
        "queries": 7,
        "responses": 4,
        # other presets have no judge
        "expected": "preset" not in (strategy or {}),
        "check_seconds": 0.5,
    }
    raw: dict[str, Any] = {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "queries.jsonl")},
        "strategy": settings | (strategy or {}),
        "evolvers": {"small": small, "large": large},
        "responder": {"engine": {**ENGINE, **log, "model": "responder"}, "pool": pool},
        "judge": {"engine": {**ENGINE, **log, "model": "judge"}, "pool": pool},
        "nli": {"kind": "judge"},
    }
    return AutoIFConfig.model_validate(raw | changes)
