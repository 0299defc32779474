"""What the pipeline itself costs: the whole job with engines that answer at once.

Plan, two evolver pools, responder, scorer and sink, on a local Ray and local disk; rows/s and CPU seconds a row, of the
whole job with its start-up and of the steady middle of it. A row is one seed on its way through one evolver: with three
rounds it makes three instructions, three answers and three scores. With several `--journal`s, seconds between two
writes of the journal of replies or `off`, each is measured in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commits import CommitWatch
from processes import ProcessWatch, even_priority
from tables import markdown, publish

from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run


@dataclass(frozen=True)
class Measured:
    """One job: seconds and CPU seconds of all of it, and of its steady middle."""

    rows: int
    rounds: int
    seconds: float
    cpu: dict[str, float]
    processes: dict[str, int]
    steady_rows: int
    steady_seconds: float
    steady_cpu: dict[str, float]

    @property
    def cpu_per_row(self) -> float:
        """CPU ms a row of all processes."""
        return 1000 * sum(self.cpu.values()) / self.rows


def write_seeds(path: Path, count: int) -> None:
    """Seeds of about 200 characters, each different."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"Describe procedure {number} in a workshop, " + "naming the tool, the material and the order. " * 3
            file.write(json.dumps({"instruction": text}) + "\n")


def configuration(folder: Path, pool: dict[str, Any], rounds: int = 3, journal: str = "auto") -> RunConfig:
    """Two evolvers on every seed, everything scripted and instant."""
    instant = {"kind": "scripted"}
    return RunConfig.model_validate(
        {
            "output": str(folder / "out"),
            "seeds": {"path": str(folder / "seeds.jsonl")},
            "strategy": {"rounds": rounds},
            "evolvers": {
                "small": {"engine": {**instant, "model": "small"}, "pool": pool},
                "large": {"engine": {**instant, "model": "large"}, "pool": pool},
            },
            "responder": {"engine": instant, "pool": pool},
            "scorer": {"kind": "scripted", "pool": pool},
            "limits": {"journal": journal},
        }
    )


def measure(rows: int, rounds: int, pool: dict[str, Any], journal: str = "auto") -> Measured:
    """Run one job of `rows` planned rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder / "seeds.jsonl", rows // 2)
        with ProcessWatch() as watch, CommitWatch(folder / "out") as commits:
            started = time.monotonic()
            report = run(SynthesisJob(configuration(folder, pool, rounds, journal)))
            seconds = time.monotonic() - started
    assert report["reconciles"]
    start, end, steady_rows = commits.middle()
    processes = dict(watch.processes())
    steady_cpu = watch.cpu_between(start, end)
    return Measured(rows, rounds, seconds, watch.cpu_by_role(), processes, steady_rows, end - start, steady_cpu)


def table(measured: Measured) -> str:
    """The job as lines: the whole, then each kind of process."""
    headings = ["", "processes", "CPU seconds", "CPU ms a row", "of these in the steady middle"]
    lines: list[list[str]] = []
    for role, cpu in measured.cpu.items():
        if cpu > 0.01 * measured.seconds:
            steady = 1000 * measured.steady_cpu.get(role, 0.0) / measured.steady_rows
            each = f"{1000 * cpu / measured.rows:.3f}"
            lines.append([role, str(measured.processes[role]), f"{cpu:.1f}", each, f"{steady:.3f}"])
    total, steady = sum(measured.cpu.values()), sum(measured.steady_cpu.values())
    each = f"{1000 * total / measured.rows:.3f}"
    lines.append(["all processes", "", f"{total:.1f}", each, f"{1000 * steady / measured.steady_rows:.3f}"])
    return (
        f"{measured.rows:,} rows of {measured.rounds} round(s): {measured.seconds:.1f} s, "
        f"{measured.rows / measured.seconds:,.0f} rows/s with start-up; "
        f"{measured.steady_rows / measured.steady_seconds:,.0f} rows/s in the steady middle "
        f"({measured.steady_rows:,} rows in {measured.steady_seconds:.1f} s).\n\n" + markdown(headings, lines)
    )


def journals(found: Mapping[str, Sequence[Measured]]) -> str:
    """What the journal costs: medians of the passes, least to greatest, and their ratio to the first."""
    costs = {name: sorted(measured.cpu_per_row for measured in passes) for name, passes in found.items()}
    first = statistics.median(next(iter(costs.values())))
    rows = [
        [
            name,
            f"{statistics.median(cost):.3f} ({cost[0]:.3f} to {cost[-1]:.3f})",
            f"{statistics.median(cost) / first:.3f}",
            f"{statistics.median(one.steady_rows / one.steady_seconds for one in found[name]):,.0f}",
        ]
        for name, cost in costs.items()
    ]
    return markdown(["seconds between writes", "CPU ms a row", "ratio", "rows/s in the steady middle"], rows)


def main() -> None:
    """Run the benchmark and publish its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="planned rows, half of them through each evolver")
    parser.add_argument("--rounds", type=int, nargs="+", default=[3, 1], help="one job for each")
    parser.add_argument("--batch-rows", type=int, nargs="+", default=[256, 512], help="rows a block; jobs for each")
    parser.add_argument("--journal", nargs="+", default=["auto"], help="how often replies are written; jobs for each")
    parser.add_argument("--passes", type=int, default=1, help="of each job, where the journal is compared")
    args = parser.parse_args()
    even_priority()
    if len(args.journal) > 1:
        pool = {"size": 1, "batch_rows": args.batch_rows[0]}
        found: dict[str, list[Measured]] = {journal: [] for journal in args.journal}
        for _ in range(args.passes):
            for journal, passes in found.items():
                passes.append(measure(args.rows, args.rounds[0], pool, journal))
        publish("journal_cost", journals(found))
        return
    jobs = [(rows, rounds) for rows in args.batch_rows for rounds in args.rounds]
    tables = [
        f"Blocks of {rows} rows. {table(measure(args.rows, rounds, {'size': 1, 'batch_rows': rows}, args.journal[0]))}"
        for rows, rounds in jobs
    ]
    publish("pipeline_overhead", "\n\n".join(tables))


if __name__ == "__main__":
    main()
