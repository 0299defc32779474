"""The report of ten million records: time and peak memory, in a process of its own.

The records are those of `select_rows.py`: two evolvers, three rounds, 1.7 million seeds, short texts. They
get a plan, so that the evolvers are compared on a sample of the seeds. About 3 GB in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from select_rows import parts, peak_memory
from tables import markdown, publish

from ray_jobs.output.epochs import add_part, begin
from ray_jobs.output.file_names import RUN, SUCCESS
from ray_jobs.output.lease import take
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanFile, PlanIndex
from ray_jobs.output.schema import REJECTED_SCHEMA
from ray_jobs.report.gather import gather
from ray_jobs.report.inputs import read_inputs
from ray_jobs.report.make import report
from ray_jobs.storage.store import Store, open_store

ROUNDS, EVOLVERS = 3, 2


def write(store: Store, records: int) -> None:
    """An output of so many records, each seed in both evolvers."""
    seeds = records // (ROUNDS * EVOLVERS)
    files = [PlanFile(f"m{number}", number * seeds, seeds) for number in range(EVOLVERS)]
    epoch = begin(store, take(store))
    epoch.add_plan(PlanIndex(rows=seeds * EVOLVERS, seeds=seeds, files=files), 0)
    for table in parts(records):
        place = table.schema.get_field_index("seed_index")
        seeds = pc.divide(table["plan_row"], pa.scalar(EVOLVERS))
        numbered = table.set_column(place, table.schema.field(place), seeds)
        rows = np.unique(table["plan_row"].to_numpy())
        add_part(store, epoch.lease, write_part(store, epoch.lease.tag, numbered, REJECTED_SCHEMA.empty_table(), rows))
    store.write_bytes(RUN, json.dumps({"run_id": "synthetic", "records_per_row": ROUNDS}).encode())
    store.write_bytes(SUCCESS, b"")


def run_job(name: str, url: str) -> tuple[float, float, int]:
    """One job's seconds, CPU seconds and peak memory; to be called in a process of its own."""
    started, cpu = time.monotonic(), time.process_time()
    if name == "the whole report":
        report(open_store(url), url)
    elif name == "reading alone":
        gather(read_inputs(open_store(url)), print)
    return time.monotonic() - started, time.process_time() - cpu, peak_memory()


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(open_store(folder), args.records)
        table = []
        for name in ("imports alone", "reading alone", "the whole report"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds, cpu, memory = pool.submit(run_job, name, folder).result()
            table.append([name, f"{seconds:,.0f}", f"{cpu:,.0f}", f"{memory / 2**20:,.0f}"])
            print(*table[-1], sep=" | ", flush=True)
    heading = f"{args.records:,} records.\n\n"
    publish("report_rows", heading + markdown(["job", "seconds", "CPU seconds", "peak memory, MiB"], table))


if __name__ == "__main__":
    main()
