"""What the pipeline itself costs: the whole job with engines that answer at once.

Plan, two evolver pools, responder, scorer and sink, on a local Ray and local disk; rows/s and CPU seconds a row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import ray
from processes import ProcessWatch
from tables import markdown, publish

from ray_jobs.config import RunConfig
from ray_jobs.run import run
from ray_jobs.synthesize import SynthesisJob


def write_seeds(path: Path, count: int) -> None:
    """Seeds of about 200 characters, each different."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"Describe procedure {number} in a workshop, " + "naming the tool, the material and the order. " * 3
            file.write(json.dumps({"instruction": text}) + "\n")


def configuration(folder: Path, batch_rows: int) -> RunConfig:
    """Two evolvers on every seed, three rounds, everything scripted and instant."""
    pool = {"size": 1, "batch_rows": batch_rows}
    instant = {"kind": "scripted"}
    return RunConfig.model_validate(
        {
            "output": str(folder / "out"),
            "seeds": {"path": str(folder / "seeds.jsonl")},
            "strategy": {"rounds": 3},
            "evolvers": {
                "small": {"engine": {**instant, "model": "small"}, "pool": pool},
                "large": {"engine": {**instant, "model": "large"}, "pool": pool},
            },
            "responder": {"engine": instant, "pool": pool},
            "scorer": {"kind": "scripted", "pool": pool},
        }
    )


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="planned rows, half of them through each evolver")
    parser.add_argument("--batch-rows", type=int, default=256)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ProcessWatch() as watch:
        folder = Path(name)
        write_seeds(folder / "seeds.jsonl", args.rows // 2)
        ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        started = time.monotonic()
        report = run(SynthesisJob(configuration(folder, args.batch_rows)))
        seconds = time.monotonic() - started
        ray.shutdown()
    assert report["reconciles"]
    rows = [["whole job", f"{seconds:.1f}", f"{args.rows / seconds:,.0f}", ""]]
    for role, cpu in watch.cpu_by_role().items():
        if cpu > 0.01 * seconds:
            rows.append([role, f"{cpu:.1f}", "", f"{1000 * cpu / args.rows:.3f}"])
    total = sum(watch.cpu_by_role().values())
    rows.append(["all processes", f"{total:.1f}", "", f"{1000 * total / args.rows:.3f}"])
    publish("pipeline_overhead", markdown(["", "seconds (wall, then CPU)", "rows/s", "CPU ms a row"], rows))


if __name__ == "__main__":
    main()
