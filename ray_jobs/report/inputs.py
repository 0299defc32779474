"""What a report starts from: the records, the plan, the run's settings and its sessions, none of them read in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ray_jobs.datasets.source import SELECTION, Source, open_source, run_source
from ray_jobs.errors import DamagedOutput, OutputError
from ray_jobs.output import accept
from ray_jobs.output.file_names import DATA, REJECTED, RUN, SUCCESS
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.output.run_files import load_sessions, pools, read_json
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.storage.store import Store

NOBODY = ""
"""The evolver of pairs that were only scored, and of seeds that could not be read."""


@dataclass(frozen=True)
class Inputs:
    """One output. `kept` and `rejected` are None where there are no such records; a selection has no plan.

    `evolvers` are in the order of the configuration, `rounds` ascending. `pools` are the figures of report.pools().
    """

    store: Store
    kept: Source | None
    rejected: Source | None
    evolvers: Sequence[str]
    rounds: Sequence[int]
    finished: bool
    run: Mapping[str, Any]
    plan: PlanIndex | None = None
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`run` or `selection`."""
        return str(self.kept.origin["kind"]) if self.kept else "run"

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The run's configuration; empty where it is not known."""
        return self.run.get("configuration") or {}

    def models(self) -> dict[str, str]:
        """The model of each evolver that the configuration names."""
        try:
            named = self.configuration.get("evolvers") or {}
            return {name: str(item["engine"]["model"]) for name, item in named.items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedOutput(f"{self.store.url_of(RUN)}: expected evolvers with engines ({error!r})") from None

    def planned(self) -> Counter[str] | None:
        """Records planned by evolver, one for each seed that could not be read; None without a plan."""
        if self.plan is None:
            return None
        each, counts = int(self.run.get("records_per_row", 1)), Counter[str]()
        retracted = self.plan.retracted
        for file in self.plan.files:
            first, end = np.searchsorted(retracted, [file.first, file.end])
            rows = file.rows - int(end - first)
            name = file.evolver if file.evolver in self.evolvers else NOBODY
            counts[name] += rows if file.evolver == UNREADABLE else rows * each
        return counts


def read_inputs(store: Store) -> Inputs:
    """Find out what an output holds. Raises OutputError and DamagedOutput as `open_source` does."""
    if store.exists(SELECTION) or not store.exists(RUN):
        return _selection(open_source(store))
    run, output = read_json(store, RUN), accept.load(store)
    found = output.manifest
    groups = found.outcome_counts().groups()
    seen = sorted({evolver for evolver, _ in groups})
    configuration = run.get("configuration") or {}
    if not isinstance(configuration, dict):
        raise DamagedOutput(f"{store.url_of(RUN)}: configuration: expected a group of settings")
    configured = list(configuration.get("evolvers") or ())
    kept, rejected = (run_source(store, found, folder) for folder in (DATA, REJECTED))
    if kept is None and rejected is None:
        raise OutputError(f"{store.url}: holds no record yet")
    return Inputs(
        store,
        kept,
        rejected,
        evolvers=[*configured, *(name for name in seen if name and name not in configured)],
        rounds=sorted({number for _, number in groups}),
        finished=store.exists(SUCCESS),
        run=run,
        plan=output.plan,
        pools=pools(load_sessions(store)),
    )


def _selection(source: Source) -> Inputs:
    groups = set()
    for batch in batches(source, ["evolver", "round"]):
        pairs = pa.Table.from_batches([batch]).group_by(["evolver", "round"]).aggregate([])
        groups |= {(pair["evolver"] or NOBODY, pair["round"]) for pair in pairs.to_pylist()}
    return Inputs(
        source.store,
        source,
        None,
        evolvers=sorted({evolver for evolver, _ in groups} - {NOBODY}),
        rounds=sorted({number for _, number in groups}),
        finished=bool(source.origin["finished"]),
        run={"run_id": source.origin["run_id"]},
    )


_TYPES = {item.name: item.type for schema in (REJECTED_SCHEMA, RECORD_SCHEMA) for item in schema}


def batches(source: Source, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The records with just these columns, batch by batch; those that the data lack are null."""
    there = [name for name in columns if name in source.schema.names]
    for batch in source.batches(there):
        found = {
            name: batch.column(name) if name in there else pa.nulls(batch.num_rows, _TYPES[name]) for name in columns
        }
        yield pa.RecordBatch.from_pydict(found)
