"""What `evolve plan` forecasts against what the run then measures, on scripted engines that take real time.

Three runs of different shape: an evolver that the others wait for, a responder that they wait for, and two evolvers of
different weight. Each is forecast from a sample, then run to its end. Rows count as done when they are committed: an
evolver that runs ahead of the pool that all wait for has finished its own part of them long before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import ray
from commits import CommitWatch
from tables import markdown, publish

from ray_jobs.config.run import RunConfig
from ray_jobs.forecast.plan import Question, forecast_run
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run

ENGINE = {"kind": "scripted", "slots": 32, "decode_rate": 40, "sigma": 0.6, "load_seconds": 2}


def shapes(pool: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each run's evolvers, responder and sharing."""

    def stage(tokens: int, size: int, **more: Any) -> dict[str, Any]:
        return {"engine": {**ENGINE, "median_tokens": tokens, **more}, "pool": {**pool, "size": size}}

    return {
        "slow evolver": {"evolvers": {"small": stage(40, 1)}, "responder": stage(40, 2, slots=64)},
        "slow responder": {"evolvers": {"small": stage(30, 2)}, "responder": stage(80, 1)},
        "two weights": {
            "sharing": "split",
            "evolvers": {"small": {**stage(30, 1), "weight": 1}, "large": {**stage(50, 2), "weight": 2}},
            "responder": stage(40, 2, slots=64),
        },
    }


def write_seeds(path: Path, count: int) -> None:
    """Seeds of different lengths."""
    lengths = Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"Describe step {number} of a procedure. " + "More detail. " * lengths.randint(0, 30)
            file.write(json.dumps({"instruction": text}) + "\n")


def rows_per_second(commits: CommitWatch) -> float:
    """Between the first and the last tenth of the rows."""
    began, ended, rows = commits.middle(0.1, 0.9)
    return rows / (ended - began)


def compare(name: str, config: RunConfig) -> list[list[str]]:
    """Forecast a run and make it; one line a number."""
    found = forecast_run(config, Question(), False, print)
    forecast_now = found.forecast
    assert forecast_now is not None
    output = Path(config.output)
    with CommitWatch(output) as commits:
        report = run(SynthesisJob(config))
    tokens = sum(pool["prompt_tokens"] + pool["completion_tokens"] for pool in report["pools"].values())
    size = sum(path.stat().st_size for part in ("data", "rejected") for path in (output / part).glob("*.parquet"))
    pairs = {
        "rows/s": (forecast_now.rows_per_second, rows_per_second(commits), found.ranges["rows_per_second"]),
        "tokens": (forecast_now.tokens, tokens, found.ranges["tokens"]),
        "seconds": (forecast_now.seconds, report["seconds"], found.ranges["seconds"]),
        "bytes": (forecast_now.bytes, size, found.ranges["bytes"]),
    }
    return [
        [
            f"{name} (waits for {forecast_now.bottleneck})",
            what,
            _short(said),
            f"{_short(low)} to {_short(high)}",
            _short(was),
            f"{said / was - 1:+.1%}",
        ]
        for what, (said, was, (low, high)) in pairs.items()
    ]


def _short(number: float) -> str:
    return f"{number:,.2f}" if number < 1000 else f"{number:,.0f}"


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=800)
    args = parser.parse_args()
    pool = {"batch_rows": 16, "cpus": 0.5}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder / "seeds.jsonl", args.seeds)
        ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        for number, (title, shape) in enumerate(shapes(pool).items()):
            raw = {
                "output": str(folder / f"out-{number}"),
                "seeds": {"path": str(folder / "seeds.jsonl")},
                "strategy": {"rounds": 2},
                "scorer": {"kind": "scripted", "pool": {**pool, "size": 1}},
                **shape,
            }
            rows += compare(title, RunConfig.model_validate(raw))
        ray.shutdown()
    headings = ["run", "", "foretold", "95 % range", "measured", "off by"]
    publish("plan_forecast", markdown(headings, rows))


if __name__ == "__main__":
    main()
