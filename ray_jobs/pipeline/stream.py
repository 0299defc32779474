"""A pipeline as a stream of Ray Data: planned rows through their pools, and seeds that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa
import ray.data
from ray.data import Dataset

from ray_jobs.output.plan_index import UNREADABLE
from ray_jobs.output.schema import PLAN_SCHEMA
from ray_jobs.pipeline.begun import unreadable_seeds
from ray_jobs.pipeline.journal import JournalPlace
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.pipeline.placement import Placement
from ray_jobs.pipeline.plan_source import Blocks, Pending, PlanSource
from ray_jobs.pipeline.pools import through_pool
from ray_jobs.pipeline.stage import Pipeline, Stage
from ray_jobs.storage.store import Store


def stream(
    pipeline: Pipeline,
    store: Store,
    pending: Pending,
    monitor: Monitor,
    placements: Mapping[str, Placement],
    journal: Callable[[Stage], JournalPlace | None],
) -> Dataset:
    """The finished rows of everything that is pending. Lazy, as Ray Data is. `journal` says where replies are kept.
    `placements` say by the pool where its actors go.

    Each branch reads its own part of the plan, so that all of them run side by side and no row travels through a pool
    that is not its own. Branches that share their pools become one stream.
    """
    first = pipeline.first

    def through(rows: Dataset, stages: Iterable[Stage]) -> Dataset:
        for stage in stages:
            context = stage.context(monitor, stage in first, journal(stage))
            rows = through_pool(rows, stage, context, placements[stage.name])
        return rows

    def begun(names: Iterable[str]) -> Dataset | None:
        read = pending.branches
        return union(_planned(pipeline, store, name, read[name]) for name in names if name in read)

    rows = union(
        through(planned, own) for names, own in pipeline.side_by_side() if (planned := begun(names)) is not None
    )
    ended = [through(rows, pipeline.shared)] if rows else []
    finished = union([*ended, *unreadable_rows(store, pending)])
    assert finished is not None, "a stream is asked for only while rows are pending"
    return finished


def _planned(pipeline: Pipeline, store: Store, name: str, blocks: Blocks) -> Dataset:
    rows = read_plan(store, name, blocks, pipeline.schema)
    if pipeline.prepare:
        rows = rows.map_batches(pipeline.prepare, batch_format="pyarrow", batch_size=None)
    return rows


def read_plan(store: Store, name: str, blocks: Blocks, schema: pa.Schema = PLAN_SCHEMA) -> Dataset:
    """The pending rows of one branch of the plan, which was written in `schema`."""
    source = PlanSource(store, name, blocks, schema)
    rows: Dataset = ray.data.read_datasource(source, override_num_blocks=max(1, len(blocks)))
    return rows


def unreadable_rows(store: Store, pending: Pending) -> list[Dataset]:
    """The pending seeds that could not be read, ended as failed with the reader's reason, if there are any."""
    if not pending.unreadable:
        return []
    rows = read_plan(store, UNREADABLE, pending.unreadable)
    return [rows.map_batches(unreadable_seeds, batch_format="pyarrow")]


def union(branches: Iterable[Dataset]) -> Dataset | None:
    """All branches as one stream; None of none."""
    together: Dataset | None = None
    for branch in branches:
        together = together.union(branch) if together else branch
    return together
