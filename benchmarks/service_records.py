"""The records page of the service: how long its requests take on many records, and how much memory they hold.

The records are those of `select_rows.py`. The index is made once, which is timed apart. All of it happens in one
process of its own, whose memory is told without the pages of the index, which the system may take back at any time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from select_rows import write
from tables import markdown, publish

from ray_jobs.output import accept
from ray_jobs.service.index import index_of
from ray_jobs.service.records import Filter, Records
from ray_jobs.storage.store import open_store

TRIES = 40


def requests() -> Mapping[str, Callable[[Records, int], Any]]:
    """What is asked for, by its name; the number of the try makes each a little different."""
    return {
        "first page, no filter": lambda records, _: records.page(Filter(), None, True, 1),
        "evolver and round": lambda records, at: records.page(
            Filter(evolver=f"m{at % 2}", round=at % 3 + 1), None, True, 1 + at % 5
        ),
        "outcome and range of IC-IFD": lambda records, at: records.page(
            Filter(outcome="kept", ranges={"ic_ifd": (at / 100, at / 100 + 0.05)}), None, True, 1
        ),
        "highest IC-IFD": lambda records, at: records.page(Filter(), "ic_ifd", True, 1 + at % 5),
        "lowest IFD of an evolver and a round": lambda records, at: records.page(
            Filter(evolver="m1", round=2), "ifd", False, 1 + at % 5
        ),
        "longest, page 100": lambda records, _: records.page(Filter(), "instruction_characters", True, 100),
        "counts beside the filters": lambda records, _: records.facets(Filter(outcome="kept")),
        "a hundred steps of a text search": lambda records, at: _some(records, f"w{at} w", 100),
    }


def _some(records: Records, text: str, steps: int) -> None:
    for number, _ in enumerate(records.search(Filter(), text)):
        if number == steps:
            return


def own_memory() -> int:
    """The anonymous resident memory of this process, in bytes."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("RssAnon")).split()[1]) << 10


def measure(url: str, folder: str) -> tuple[list[list[str]], str]:
    """The lines of the table, and what making the index took."""
    store = open_store(url)
    found = accept.load(store)
    began = time.monotonic()
    for entry in found.parts:
        for part in entry.files:
            index_of(store, part, Path(folder))
    making = time.monotonic() - began
    size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
    records = Records(store, found, Path(folder))
    records.prepare()
    lines = []
    for name, ask in requests().items():
        ask(records, 0)
        times = []
        for number in range(TRIES):
            began = time.monotonic()
            ask(records, number)
            times.append(1000 * (time.monotonic() - began))
        p50, p95 = np.percentile(times, [50, 95])
        lines.append([name, f"{p50:,.0f}", f"{p95:,.0f}", f"{own_memory() / 2**20:,.0f}"])
    return lines, f"making the index took {making:,.1f} s; it has {size:,.0f} MiB"


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, tests, at = (str(Path(folder) / name) for name in ("run", "tests", "index"))
        Path(at).mkdir()
        write(open_store(run), open_store(tests), args.records)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            lines, told = pool.submit(measure, run, at).result()
    headings = ["request", "p50, ms", "p95, ms", "memory of the process afterwards, MiB"]
    heading = f"{args.records:,} records, each request {TRIES} times; {told}.\n\n"
    publish("service_records", heading + markdown(headings, lines))


if __name__ == "__main__":
    main()
