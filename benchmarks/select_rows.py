"""Selecting and exporting at ten million records: time and peak memory of each job, in a process of its own.

The records are synthetic: short texts of random words, one in ten a near copy of another, scores in [0, 1) rounded
to four digits so that there are ties. They are written by the pipeline's own writer into a temporary folder, which
takes about 3 GB for ten million.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tables import markdown, publish

from ray_jobs.datasets.export import export
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.output.epochs import add_part, begin
from ray_jobs.output.file_names import RUN, SUCCESS
from ray_jobs.output.lease import take
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.storage.store import Store, open_store

PART_ROWS = 240_000  # a multiple of three, for the three records of a row are together
WORDS = pa.array([f"w{number}" for number in range(5000)])
QUARTER = Fraction(1, 4)
GROUPS = ("evolver", "round", "operator")
JOBS: dict[str, Rule] = {
    "top 25 % by ic_ifd": Rule("ic_ifd", top=QUARTER),
    "top 25 % by ic_ifd per evolver, round, operator": Rule("ic_ifd", top=QUARTER, per=GROUPS),
    "lowest 25 % by instruction_words (20 values)": Rule("instruction_words", top=QUARTER),
    "top 25 % by ic_ifd, IFD at most 1, decontaminated": Rule("ic_ifd", top=QUARTER, drop_ifd_above=1, ngram=13),
    "top 25 % by ic_ifd without near duplicates": Rule("ic_ifd", top=QUARTER, near_duplicates=0.7),
}
KEPT_BY = next(iter(JOBS))
IMPORTS, EXPORT = "imports alone", "export of the first to alpaca JSONL"


def parts(rows: int) -> Iterator[pa.Table]:
    """Records in RECORD_SCHEMA, a part at a time."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, PART_ROWS):
        yield part(rng, np.arange(start, min(rows, start + PART_ROWS)))


def part(rng: np.random.Generator, numbers: np.ndarray[Any, Any]) -> pa.Table:
    """The records with these numbers."""
    count = len(numbers)
    row_ids = pa.array([f"{number // 3 * 0x9E3779B97F4A7C15 % (1 << 128):032x}" for number in numbers.tolist()])
    rounds = pa.array((numbers % 3 + 1).astype(np.int32))
    record_ids = pc.binary_join_element_wise(row_ids, rounds.cast(pa.string()), "-")
    losses = {name: pa.array(rng.random(count) + 0.5) for name in ("loss_q", "loss_a_given_q", "loss_a")}
    columns = {
        **{name: pa.array(np.char.add("x", (numbers % 3).astype(str))) for name in ("strategy", "operator")},
        **{name: pa.array(np.char.add("m", (numbers // 3 % 2).astype(str))) for name in ("evolver", "evolver_model")},
        **losses,
        "record_id": record_ids,
        "row_id": row_ids,
        "seed_id": row_ids,
        "parent_id": row_ids,
        "round": rounds,
        "instruction": texts(rng, count, 6, 25),
        "input": pa.array([""] * count),
        "output": texts(rng, count, 20, 40),
        "seed_instruction": pa.array(["seed"] * count),
        "ic_ifd": pa.array(np.where(rng.random(count) < 0.01, np.nan, rng.random(count).round(4)), from_pandas=True),
        "ifd": pa.array(rng.random(count) + 0.1),
        "run_id": pa.array(["run"] * count),
        "plan_row": pa.array(numbers // 3),
    }
    empty = {name: pa.nulls(count) for name in RECORD_SCHEMA.names if name not in columns}
    return pa.table({**columns, **empty}).select(RECORD_SCHEMA.names).cast(RECORD_SCHEMA)


def texts(rng: np.random.Generator, count: int, minimum: int, maximum: int) -> pa.Array:
    """Texts of `minimum` to `maximum` words; every tenth is its forerunner with another last word."""
    lengths = rng.integers(minimum, maximum + 1, count)
    words = rng.integers(0, len(WORDS), (count, maximum))
    words[9::10], lengths[9::10] = words[8::10][: len(words[9::10])], lengths[8::10][: len(words[9::10])]
    words[np.arange(count), lengths - 1] = rng.integers(0, len(WORDS), count)
    flat = words[np.arange(maximum) < lengths[:, None]]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), WORDS.take(pa.array(flat))), " ")


def write(store: Store, tests: Store, rows: int) -> None:
    """An output of `rows` records, and a test set of five thousand items that has ten of its instructions."""
    lines: list[str] = []
    epoch = begin(store, take(store))
    epoch.add_plan(PlanIndex(rows=rows), 0)
    for table in parts(rows):
        numbers = np.unique(table["plan_row"].to_numpy())
        add_part(store, epoch.lease, write_part(store, epoch.lease.tag, table, REJECTED_SCHEMA.empty_table(), numbers))
        if not lines:
            lines = [
                *table["instruction"].slice(0, 10).to_pylist(),
                *texts(np.random.default_rng(1), 5000, 20, 60).to_pylist(),
            ]
    store.write_bytes(RUN, json.dumps({"run_id": "synthetic"}).encode())
    store.write_bytes(SUCCESS, b"")
    tests.write_bytes("items.txt", "\n".join(lines).encode())


def peak_memory() -> int:
    """The peak resident memory of this process in bytes. `getrusage` would give its parent's where that was greater."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


def run_job(name: str, folder: str) -> tuple[float, float, int, str]:
    """One job's seconds, CPU seconds, peak memory and outcome; to be called in a process of its own."""
    started, cpu = time.monotonic(), time.process_time()
    outcome = {IMPORTS: nothing, EXPORT: export_kept}.get(name, select_rows)(name, folder)
    return time.monotonic() - started, time.process_time() - cpu, peak_memory(), outcome


def nothing(_name: str, _folder: str) -> str:
    """What is left of a job without its work."""
    return ""


def export_kept(_name: str, folder: str) -> str:
    """Export what the first job has kept."""
    kept, target = open_store(f"{folder}/{KEPT_BY}"), open_store(f"{folder}/export")
    sides = export(kept, target, "alpaca", "jsonl", Fraction(1, 20)).sides
    return ", ".join(f"{side.records:,} {where}" for where, side in sides.items())


def select_rows(name: str, folder: str) -> str:
    """Select by the rule of this name."""
    rule, store, target = JOBS[name], open_store(f"{folder}/run"), open_store(f"{folder}/{name}")
    tests = open_store(f"{folder}/tests") if rule.ngram else None
    totals = select(store, target, rule, tests, say=lambda _: None).totals
    return ", ".join(f"{count:,} {reason.label}" for reason, count in totals.items())


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(open_store(f"{folder}/run"), open_store(f"{folder}/tests"), args.rows)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.parquet"))
        table = []
        for name in (IMPORTS, *JOBS, EXPORT):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                seconds, cpu, memory, outcome = pool.submit(run_job, name, folder).result()
            table.append([name, f"{seconds:,.0f}", f"{cpu:,.0f}", f"{memory / 2**20:,.0f}", outcome])
            print(*table[-1], sep=" | ", flush=True)
    heading = f"{args.rows:,} records, {size / 1e9:.1f} GB of Parquet.\n\n"
    publish("select_rows", heading + markdown(["job", "seconds", "CPU seconds", "peak memory, MiB", "outcome"], table))


if __name__ == "__main__":
    main()
