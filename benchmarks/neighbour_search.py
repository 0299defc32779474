"""How long the exact search for nearest neighbours takes that `evolve analyse OUTPUT diversity` makes.

    python benchmarks/neighbour_search.py [--rows 50000,200000,1000000] [--width 384] [--seconds 60]

Random unit vectors in a file that numpy maps, as the analysis has them. A search goes block by block, and every block
of 2,048 rows is compared with all rows, so blocks of one search cost the same: what does not fit into `--seconds` is
measured over its first blocks, and the whole is foretold from these.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import BinaryIO

import numpy as np
from select_rows import peak_memory
from tables import markdown, publish

from scoring.neighbours import QUERY_ROWS, Vectors, neighbours

RADIUS = 0.05
CHUNK = 65_536


def vectors(file: BinaryIO, rows: int, width: int) -> Vectors:
    """So many random unit vectors in `file`, mapped."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, CHUNK):
        drawn = rng.standard_normal((min(CHUNK, rows - start), width), dtype=np.float32)
        file.write((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).tobytes())
    file.flush()
    return np.memmap(file, dtype=np.float32, mode="r", shape=(rows, width))


def search(found: Vectors, seconds: float) -> tuple[int, float]:
    """Blocks that were searched, and seconds: all blocks, or as many as fit."""
    blocks, started = 0, time.perf_counter()
    for _ in neighbours(found, RADIUS):
        blocks += 1
        if time.perf_counter() - started > seconds:
            break
    return blocks, time.perf_counter() - started


def main() -> None:
    """Measure each size and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", default="50000,200000,1000000", help="sizes, by commas")
    parser.add_argument("--width", type=int, default=384, help="numbers a vector")
    parser.add_argument("--seconds", type=float, default=60.0, help="the most a size may take")
    options = parser.parse_args()
    table = []
    for rows in map(int, options.rows.split(",")):
        with tempfile.TemporaryFile() as file:
            blocks, seconds = search(vectors(file, rows, options.width), options.seconds)
        all_blocks = -(-rows // QUERY_ROWS)
        rate = 2 * QUERY_ROWS * rows * options.width * blocks / seconds / 1e9
        whole = seconds / blocks * all_blocks
        kind = "measured" if blocks == all_blocks else f"foretold from {blocks} of {all_blocks:,} blocks"
        cells = [f"{rows:,}", f"{seconds / blocks:.2f}", f"{rate:,.0f}", f"{whole:,.0f}", kind]
        table.append([*cells, f"{peak_memory() / 2**20:,.0f}"])
        print(*table[-1], sep=" | ", flush=True)
    headings = ["rows", "seconds a block", "GFLOP/s", "seconds in all", "", "peak memory so far, MiB"]
    publish("neighbour_search", f"Vectors of {options.width} numbers.\n\n{markdown(headings, table)}")


if __name__ == "__main__":
    main()
