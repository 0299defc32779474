"""An output of two evolvers on the same seeds, as large as a test wants it, with a plan, losses, costs and analyses."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ray_jobs.output.epochs import Epoch, add_part
from ray_jobs.output.file_names import RUN
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan_index import PlanFile, PlanIndex
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.storage.store import Store
from tests.ray_jobs.datasets.outputs import RUN_ID, Record, publish, record
from tests.ray_jobs.samples import new_epoch

EVOLVERS = {"small": 1.15, "large": 1.0}
"""By how much an evolver's losses are greater."""
REASONS = (("rejected", "evolve", "unchanged"), ("rejected", "respond", "refusal"), ("failed", "score", "ScoringError"))
LEVELS = ("very easy", "easy", "medium", "hard", "very hard")


def write_compared(store: Store, seeds: int, parts: int = 1, rounds: int = 2, **values: Any) -> list[Record]:
    """Make `store` a finished run of `seeds` seeds; return all records, kept ones without `status`.

    About a fifth of the records is rejected. `values` replace columns of all records.
    """
    rng = np.random.default_rng(7)
    found = [
        _record(rng, seed, evolver, number) | values
        for seed in range(seeds)
        for evolver in EVOLVERS
        for number in range(1, rounds + 1)
    ]
    epoch = new_epoch(store)
    files = [PlanFile(name, index * seeds, seeds) for index, name in enumerate(EVOLVERS)]
    epoch.add_plan(PlanIndex(rows=seeds * len(EVOLVERS), seeds=seeds, files=files), 0)
    for part in range(parts):
        _write_part(epoch, [item for item in found if item["seed_index"] % parts == part])
    publish(epoch)
    _write_run(store, seeds, rounds)
    return found


def _record(rng: np.random.Generator, seed: int, evolver: str, number: int) -> Record:
    row = seed * len(EVOLVERS) + list(EVOLVERS).index(evolver)
    harder = EVOLVERS[evolver] * (1 + 0.06 * number) * np.exp(0.15 * np.random.default_rng(seed).standard_normal())
    row_id = f"{row:032x}"
    item = record(row * 3 + number)
    item |= {
        "record_id": f"{row_id}-{number}",
        "row_id": row_id,
        "seed_id": f"{seed:032x}",
        "round": number,
        "evolver": evolver,
        "operator": ("add_constraint", "deepen", "concretise", "reasoning", "breadth")[(seed + number) % 5],
        "instruction": " ".join(["Explain"] * int(rng.gamma(6, 4 * harder) + 3)),
        "output": " ".join(["Because"] * int(rng.gamma(4, 40 * harder) + 1)),
        "loss_q": float(rng.gamma(30, 2.3 / 30)),
        "loss_a_given_q": float(rng.gamma(25, 0.5 * harder / 25)),
        "loss_a": float(rng.gamma(40, 0.9 / 40)),
        "mean_top1_prob": float(rng.beta(9, 3 * EVOLVERS[evolver])),
        "prompt_tokens": int(rng.integers(200, 400)),
        "completion_tokens": int(rng.integers(50, 600)),
        "plan_row": row,
        "seed_index": seed,
    }
    item["ifd"] = item["loss_a_given_q"] / item["loss_a"]
    item["ic_ifd"] = item["ifd"] / item["loss_q"]
    if rng.random() < (0.25 if evolver == "small" else 0.15):
        item |= dict(zip(("status", "stage", "reason"), REASONS[int(rng.integers(len(REASONS)))], strict=True))
    return item


def _write_part(epoch: Epoch, records: list[Record]) -> None:
    kept, lost = ([record for record in records if ("status" in record) is gone] for gone in (False, True))
    tables = [
        pa.Table.from_pylist([{name: item.get(name) for name in schema.names} for item in ones], schema)
        for ones, schema in ((kept, RECORD_SCHEMA), (lost, REJECTED_SCHEMA))
    ]
    rows = np.unique([record["plan_row"] for record in records])
    add_part(epoch.store, epoch.lease, write_part(epoch.store, epoch.lease.tag, *tables, rows))


def _write_run(store: Store, seeds: int, rounds: int) -> None:
    pool = {"gpus": 1}
    configuration = {
        "evolvers": {name: {"engine": {"model": f"model-{name}"}, "pool": pool} for name in EVOLVERS},
        "responder": {"engine": {"model": "answers"}, "pool": {"gpus": 4}},
        "scorer": {"model": "scores", "pool": {}},
    }
    run = {"kind": "synthesis", "run_id": RUN_ID, "records_per_row": rounds, "configuration": configuration}
    store.write_bytes(RUN, json.dumps(run).encode())
    pools = {
        name: {"seconds": 3600.0, "actor_starts": 1, "rows": seeds, "prompt_tokens": 10_000, "completion_tokens": 5_000}
        for name in ("evolve_small", "evolve_large", "respond", "score")
    }
    session = {"number": 1, "started_at": "2026-01-01T00:00:00+00:00", "seconds": 4000.0, "committed_rows": seeds}
    store.write_bytes("sessions/000001.json", json.dumps(session | {"pools": pools}).encode())


def write_analyses(store: Store, records: list[Record]) -> None:
    """Leave finished analyses of the kept records: reward, and with seeds difficulty, difficulty_score, diversity."""
    rng = np.random.default_rng(3)
    kept = [record for record in records if "status" not in record]
    lines = [(item["record_id"], item["seed_id"], item["evolver"], item["round"]) for item in kept]
    lines += [(seed, seed, None, 0) for seed in sorted({record["seed_id"] for record in records})]
    hard = np.array([number + EVOLVERS.get(evolver or "", 1) for _, _, evolver, number in lines])
    levels = np.clip(np.round(rng.normal(0.8 + 0.9 * hard, 0.8)), 1, 5).astype(int)
    columns = {
        "difficulty": {
            "difficulty_label": [LEVELS[level - 1] for level in levels],
            "difficulty_level": levels.tolist(),
        },
        "difficulty_score": {"difficulty_score": np.clip(rng.normal(20 * hard, 9), 0, 100).tolist()},
        "diversity": {"neighbour_distance": rng.gamma(5, 0.05 + 0.01 * hard).tolist()},
        "reward": {"reward": rng.normal(2 + hard[: len(kept)], 3).tolist()},
    }
    for name, table in columns.items():
        own = lines[: len(kept)] if name == "reward" else lines
        keys = dict(zip(("record_id", "seed_id", "evolver", "round"), map(list, zip(*own, strict=True)), strict=True))
        write_table(store, name, pa.table({**keys, **table}))
        groups = dict.fromkeys((evolver, number) for _, _, evolver, number in own)
        entries = [_entry(group, lines, levels) for group in groups]
        store.write_bytes(f"analyses/{name}/summary.json", json.dumps(entries).encode())
        store.write_bytes(f"analyses/{name}/_SUCCESS", b"")


def write_table(store: Store, name: str, table: pa.Table) -> None:
    """Write the table of an analysis."""
    buffer = BytesIO()
    pq.write_table(table, buffer)
    store.write_bytes(f"analyses/{name}/data/one.parquet", buffer.getvalue())


def _entry(group: tuple[str | None, int], lines: list[Any], levels: np.ndarray[Any, Any]) -> dict[str, Any]:
    mine = [int(level) for (_, _, *of), level in zip(lines, levels, strict=True) if tuple(of) == group]
    labels = {label: mine.count(index) for index, label in enumerate(LEVELS, 1)}
    return {"evolver": group[0], "round": group[1], "n": len(mine), "labels": labels, "unreadable": 1}
