"""Whether speed and memory stay as they are when a run is ten times as long: engines that answer at once.

The same job as pipeline_overhead.py at two sizes: rows/s, the driver's memory over the run, what the object store took,
and the sizes of the parts that are left.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commits import CommitWatch
from pipeline_overhead import configuration, write_seeds
from processes import DRIVER, ProcessWatch, Sample, even_priority
from tables import markdown, publish

from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run

ROUNDS = 3
MOMENTS = 10
MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """One job. Memory is in bytes; `course` is the driver's at ten moments, evenly apart in time."""

    rows: int
    seconds: float
    steady: float
    cpu: float
    driver: int
    course: tuple[int, ...]
    store: int
    parts: tuple[int, ...]

    def line(self) -> list[str]:
        """As a line of the table."""
        sizes = f"{len(self.parts):,} of {min(self.parts) / MIB:.1f} to {max(self.parts) / MIB:.1f}"
        speeds = [f"{self.rows / self.seconds:,.0f}", f"{self.steady:,.0f}", f"{1000 * self.cpu / self.rows:.3f}"]
        memory = [f"{item / MIB:,.0f}" for item in (self.driver, self.store)]
        return [f"{self.rows:,}", f"{self.seconds:.0f}", *speeds, *memory, sizes]


def measure(rows: int, batch_rows: int) -> Measured:
    """Run one job of `rows` planned rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder / "seeds.jsonl", rows // 2)
        config = configuration(folder, {"size": 1, "batch_rows": batch_rows}, ROUNDS)
        with ProcessWatch() as watch, CommitWatch(folder / "out") as commits:
            started = time.monotonic()
            report = run(SynthesisJob(config))
            seconds = time.monotonic() - started
        assert report["reconciles"]
        parts = tuple(path.stat().st_size for path in (folder / "out" / "data").glob("*.parquet"))
    start, end, done = commits.middle()
    return Measured(
        rows,
        seconds,
        done / (end - start),
        sum(watch.cpu_by_role().values()),
        watch.peak_memory(DRIVER),
        course(watch.samples),
        watch.peak_memory("raylet"),
        parts,
    )


def course(samples: Sequence[Sample]) -> tuple[int, ...]:
    """The driver's memory at MOMENTS moments, the last sample among them."""
    return tuple(samples[round(index * (len(samples) - 1) / (MOMENTS - 1))].driver_memory for index in range(MOMENTS))


def main() -> None:
    """Run the benchmark and publish its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--batch-rows", type=int, default=512)
    args = parser.parse_args()
    even_priority()
    jobs = [measure(rows, args.batch_rows) for rows in args.rows]
    headings = ["rows", "seconds", "rows/s with start-up", "rows/s, steady middle", "CPU ms a row"]
    headings += ["driver's peak, MiB", "raylet's peak with the object store it touched, MiB", "parts, MiB"]
    moments = [f"{index / (MOMENTS - 1):.0%}" for index in range(MOMENTS)]
    memory = [[f"{job.rows:,}", *(f"{at / MIB:,.0f}" for at in job.course)] for job in jobs]
    text = f"Blocks of {args.batch_rows} rows, {ROUNDS} rounds.\n\n" + markdown(headings, [job.line() for job in jobs])
    text += "\n\nThe driver's memory over the run, MiB:\n\n" + markdown(["rows", *moments], memory)
    publish("pipeline_scale", text)


if __name__ == "__main__":
    main()
