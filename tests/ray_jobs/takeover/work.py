"""What the drivers of these tests do: a real job's run without its engines, and what must hold whatever they do."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.epochs import begin
from ray_jobs.output.file_names import DATA, REJECTED, SUCCESS
from ray_jobs.output.lease import take
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.retry import drop_failed_rows
from ray_jobs.output.verify import verify
from ray_jobs.pipeline.sink import PartsSink
from ray_jobs.runner.drive import Drive
from ray_jobs.storage.store import Store
from tests.ray_jobs.samples import finished, kept_round, rejected_round, run_config, write_seeds
from tests.ray_jobs.takeover.stepped import Files, MemoryStore

BOARD: Any = SimpleNamespace(committed=lambda entry: None)
ROWS_A_PART = 2
FAILED = {**rejected_round(2, 1, "PromptRefused"), "status": "failed"}


def job(folder: Path, seeds: int, gone: str = "refuse") -> SynthesisJob:
    """A run of so many seeds through one evolver, two records a row; rows of other seeds are dealt with as `gone`."""
    folder.mkdir(exist_ok=True)
    write_seeds(folder / "seeds.jsonl", [f"Name river {number}." for number in range(seeds)])
    engine = {"engine": {"kind": "scripted"}, "pool": {"size": 1}}
    source = {"path": str(folder / "seeds.jsonl"), "gone": gone}
    return SynthesisJob(run_config(folder, evolvers={"a": engine}, strategy={"rounds": 2}, seeds=source))


def driver(of: SynthesisJob, fails: Sequence[int] = ()) -> Callable[[Store], None]:
    """What one driver does, from its lease to the mark; the rows `fails` end as failed."""

    def work(store: Store) -> None:
        epoch = begin(store, take(store))

        def execute(plan: PlanIndex, done: np.ndarray[Any, np.dtype[np.bool_]], number: int) -> None:
            sink = PartsSink(store, epoch.lease, of.layout("run"), BOARD)
            rows = np.flatnonzero(~done)
            for some in np.array_split(rows, -(-len(rows) // ROWS_A_PART)):
                sink.write([_finished(tuple(int(row) for row in some), tuple(fails))], None)

        Drive(of, epoch, execute, lambda: None, lambda: None, lambda _: None).complete()

    return work


def retrier(of: SynthesisJob) -> Callable[[Store], None]:
    """What `retry-failed` does: failed rows are taken out, and a run makes them again."""

    def work(store: Store) -> None:
        drop_failed_rows(begin(store, take(store)))
        driver(of)(store)

    return work


@lru_cache
def _finished(rows: tuple[int, ...], fails: tuple[int, ...]) -> Any:
    return finished({row: [kept_round(), FAILED if row in fails else rejected_round(2, 1)] for row in rows})


def plain_rows(files: Files) -> Counter[tuple[str, int]]:
    """Each folder's rows, as often as a plain reader of the two folders meets them."""
    found = Counter[tuple[str, int]]()
    for path, data in files.items():
        folder = path.split("/")[0]
        if folder in (DATA, REJECTED):
            found.update((folder, row) for row in _rows_of(data))
    return found


@lru_cache(maxsize=4096)
def _rows_of(data: bytes) -> tuple[int, ...]:
    return tuple(pq.read_table(io.BytesIO(data), columns=["plan_row"])["plan_row"].to_pylist())


def check(files: Files) -> None:
    """What holds at every moment: a marked output shows each planned row once; what is accepted is there, once."""
    found = accept.load(MemoryStore(files))
    rows = Counter(int(row) for part in found.parts for row in part.rows)
    assert set(rows.values()) <= {1}, f"rows count twice: {rows}"
    gone = [part.path for entry in found.parts for part in entry.files if part.path not in files]
    assert not gone, f"accepted and gone: {gone}"
    if SUCCESS in files:
        asked = set(range(found.index.rows)) - set(found.index.retracted.tolist())
        planned = {(folder, row) for folder in (DATA, REJECTED) for row in asked}
        assert plain_rows(files) == Counter(planned), "marked as finished"


def check_end(files: Files, seeds: int) -> None:
    """What holds once a driver that was asked for all seeds has come to its end."""
    check(files)
    assert SUCCESS in files
    verdict = verify(MemoryStore(files))
    assert (verdict.rows, verdict.done, verdict.finished, verdict.problems) == (seeds, seeds, True, [])
