"""The pipeline, left to right: plan, evolve, respond, score, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import ray.data
from ray.data import Dataset

from evolve.flow import Strategy
from ray_jobs.actors import EvolveActor, PoolJob, RespondActor, ScoreActor, ScoreJob
from ray_jobs.board import Board
from ray_jobs.config import RunConfig, SelfResponderConfig
from ray_jobs.plan import UNREADABLE
from ray_jobs.plan_source import PlanSource, Slice
from ray_jobs.pools import RESPOND, SCORE, pool_name, through_pool
from ray_jobs.preflight import absolute
from ray_jobs.rows import CREATED_AT, FAILED, ROUNDS
from ray_jobs.storage import Store

Blocks = Sequence[Sequence[Slice]]


@dataclass(frozen=True)
class Pending:
    """What is still to do: the blocks of each evolver, and those of seeds that could not be read."""

    evolvers: Mapping[str, Blocks]
    unreadable: Blocks


def synthesize(run: RunConfig, strategy: Strategy, store: Store, pending: Pending, board: Board) -> Dataset:
    """The stream of finished rows, in ROW_SCHEMA, of everything that is pending. Lazy, as Ray Data is.

    Each evolver's pool reads its own part of the plan, so that all of them run side by side and no row travels
    through a pool that is not its own.
    """
    evolved = [
        through_pool(
            read_plan(store, name, blocks),
            pool_name(name),
            EvolveActor,
            PoolJob(run, strategy, pool_name(name), absolute(run.evolvers[name].engine), board),
            run.evolvers[name].pool,
        )
        for name, blocks in pending.evolvers.items()
    ]
    rows = union(evolved)
    if rows and not isinstance(run.responder, SelfResponderConfig):
        respond = PoolJob(run, strategy, RESPOND, absolute(run.responder.engine), board)
        rows = through_pool(rows, RESPOND, RespondActor, respond, run.responder.pool)
    if rows and run.scorer:
        rows = through_pool(rows, SCORE, ScoreActor, ScoreJob(SCORE, absolute(run.scorer), board), run.scorer.pool)
    unreadable = [
        read_plan(store, UNREADABLE, pending.unreadable).map_batches(unreadable_seeds, batch_format="pyarrow")
    ]
    finished = union([*([rows] if rows else []), *(unreadable if pending.unreadable else [])])
    assert finished is not None
    return finished


def read_plan(store: Store, name: str, blocks: Blocks) -> Dataset:
    """The pending rows of one evolver."""
    rows: Dataset = ray.data.read_datasource(PlanSource(store, name, blocks), override_num_blocks=max(1, len(blocks)))
    return rows


def union(branches: Sequence[Dataset]) -> Dataset | None:
    """All branches as one stream; None of none."""
    if not branches:
        return None
    together: Dataset = branches[0].union(*branches[1:]) if len(branches) > 1 else branches[0]
    return together


def unreadable_seeds(rows: pa.Table) -> pa.Table:
    """Seeds that could not be read end as failed, with the reader's reason."""
    rounds = [
        [{"round": 0, "parent_round": 0, "status": FAILED, "stage": "read", "reason": reason, "error": error}]
        for reason, error in zip(rows["seed_reason"].to_pylist(), rows["seed_error"].to_pylist(), strict=True)
    ]
    now = pa.array([datetime.now(UTC)] * rows.num_rows, CREATED_AT.type)
    return rows.append_column(ROUNDS, pa.array(rounds, ROUNDS.type)).append_column(CREATED_AT, now)
