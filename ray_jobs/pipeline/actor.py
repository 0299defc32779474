"""What an actor of any pool does with the blocks it is given, whatever its stage does with a row.

An actor takes a table and returns one with the same rows in the same order, so that a block that is computed again
holds the same rows again. A row never ends an actor: what it raises becomes its outcome. An engine that died ends the
actor's process; Ray starts the actor and its blocks again. Once the run is to stop, rows that have not begun come back
as they are; those that have begun go on through all pools.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

import pyarrow as pa

from evolve.current_row import ROW
from evolve.engine import PROBE, Engine
from evolve.engines.quota import counted_by
from evolve.errors import EngineDied, SettingsRefused
from evolve.records import Completion
from evolve.replies import REPLIES, JournalEngine
from ray_jobs.config.engine_kinds import EngineConfig, is_server
from ray_jobs.config.engines import build_engine
from ray_jobs.config.pools import PoolConfig, VariantConfig
from ray_jobs.errors import EngineRefuses
from ray_jobs.pipeline.gate import Gate, Turns
from ray_jobs.pipeline.journal import BlockReplies, Journal, JournalPlace
from ray_jobs.pipeline.monitor import Monitor, WorkerStats, one_line

if TYPE_CHECKING:
    from ray_jobs.pipeline.stats_reporter import StatsReporter

ENGINE_DIED = 70
"""The exit code of an actor whose engine died."""

ROWS_PER_CALL = 1.25
"""Rows under way for each of an engine's slots: more than one, since some rows are between two prompts."""

log = logging.getLogger(__name__)
Row = dict[str, Any]
Result = TypeVar("Result")
Found = TypeVar("Found")
Other = TypeVar("Other")


@dataclass(frozen=True)
class ActorContext:
    """Where an actor stands: its pool's name, the model to load, where to report, whether rows begin here.

    `journal` is where replies are kept, if they are; `shapes` are the kinds of hardware on which the pool has actors.
    """

    pool: str
    model: Any
    monitor: Monitor
    first: bool = False
    journal: JournalPlace | None = None
    shapes: tuple[VariantConfig, ...] = PoolConfig().shapes


class PoolActor(ABC, Generic[Result]):
    """What runs in a pool. `Result` is what becomes of a row; None of one that has not begun."""

    key: ClassVar[str] = "row_id"
    """The column that names a row."""

    def __init__(self, task: Any, context: ActorContext) -> None:
        # here, where Ray is there anyway: who only looks at a configuration is spared it
        from ray_jobs.pipeline.placement import shape_of_this_actor, shaped
        from ray_jobs.pipeline.stats_reporter import StatsReporter

        self._task, self._context = task, context
        shape = shape_of_this_actor(context.shapes)
        self._reporter = StatsReporter(context.monitor, context.pool, shape)
        with self._reporter.loading():
            self.load(shaped(context.model, shape))

    async def __call__(self, table: pa.Table) -> pa.Table:
        """Work on a block."""
        results = await self.block(table.to_pylist())
        await asyncio.to_thread(self._reporter.report)
        return self.finished(table, results)

    @abstractmethod
    def load(self, model: Any) -> None:
        """Load the model, and what else the work needs."""

    @abstractmethod
    async def block(self, rows: Sequence[Row]) -> list[Result | None]:
        """What becomes of each row of a block."""

    @abstractmethod
    def finished(self, table: pa.Table, results: Sequence[Result | None]) -> pa.Table:
        """The block with what became of its rows."""

    def begun(self, row: Row) -> bool:  # noqa: ARG002  # only rows that pass several pools can tell
        """Whether a row that comes from another pool has begun."""
        return True

    def takes(self, row: Row) -> bool:
        """Whether a row is to be worked on now."""
        return not self._reporter.stopped if self._context.first else self.begun(row)


class RowActor(PoolActor[Result]):
    """Takes rows through an engine one by one, each at its own speed.

    Rows begin in the order in which they came, a few more than the engine has slots. Were all begun at once, their
    prompts would take turns: every block would end at the same time, and only then would the engine get new rows.
    """

    def load(self, model: EngineConfig) -> None:
        """Load the engine."""
        from ray_jobs.pipeline.hand import NO_WORDS, Hand
        from ray_jobs.pipeline.quota import MonitorQuota

        with counted_by(MonitorQuota(self._context.monitor)):
            self._engine: Engine = JournalEngine(self.engine(model))
        self._journal = Journal(self._context.journal) if self._context.journal else None
        self._hand = Hand(self._context.monitor)
        if (left := self._hand.left()) and self._journal:
            self._journal.died(left, NO_WORDS)
        self._turns = Turns(rows_at_once(self._engine, self.draws))
        self._reporter.stats.slots = self._engine.max_concurrency or 0
        self._gate, self._under_way, self._is_sound = Gate(), set[int](), False

    @property
    def draws(self) -> int:
        """How many completions its prompts ask for at once, each of which takes one of the engine's slots."""
        return 1

    def engine(self, config: EngineConfig) -> Engine:
        """The engine of the configuration."""
        return load_engine(config)

    async def block(self, rows: Sequence[Row]) -> list[Result | None]:
        """Work on the rows side by side."""
        journal, numbers = self._journal, [row["plan_row"] for row in rows]
        kept = await asyncio.to_thread(journal.begin, numbers) if journal else None
        await self._hand.take(numbers)
        if kept is None or not kept.suspects:
            return await asyncio.gather(*(self._turn(row, kept) for row in rows))
        return await self._with_suspects(rows, kept)

    async def _with_suspects(self, rows: Sequence[Row], kept: BlockReplies) -> list[Result | None]:
        """As `block`, for rows of which some may have ended engines: these go by halves, with nobody else."""
        groups = groups_of([kept.group(row["plan_row"]) for row in rows])
        results: dict[int, Result | None] = {}

        async def alone() -> None:
            for group in groups:
                numbers = [rows[place]["plan_row"] for place in group]
                async with self._gate.alone(), self._hand.alone(numbers):
                    await self._check_sound(kept, [rows[place] for place in group])
                    found = await asyncio.gather(*(self._work(rows[place], kept) for place in group))
                results.update(zip(group, found, strict=True))

        ordinary = sorted(set(range(len(rows))).difference(*groups))
        *found, _ = await asyncio.gather(*(self._turn(rows[place], kept) for place in ordinary), alone())
        results.update(zip(ordinary, found, strict=True))
        return [results[place] for place in range(len(rows))]

    async def _check_sound(self, kept: BlockReplies, rows: Sequence[Row]) -> None:
        """Before a row is found guilty, see that the engine answers at all: one that never does is guilty itself."""
        if self._is_sound or 0 not in [kept.group(row["plan_row"]) for row in rows]:
            return
        # whatever it answers or refuses, it lives
        await self.outcome(self._engine.generate(PROBE), "the probe", lambda _: None)
        self._is_sound = True

    async def _turn(self, row: Row, kept: BlockReplies | None) -> Result | None:
        async with self._turns:
            await self._gate.enter()
            try:
                return await self._work(row, kept)
            finally:
                self._gate.leave()

    async def _work(self, row: Row, kept: BlockReplies | None) -> Result | None:
        number = row["plan_row"]
        if not self.takes(row):
            self._hand.done(number)
            return None
        ROW.set(row[self.key])
        REPLIES.set(kept.row(number, self._given) if kept else None)
        self._under_way.add(number)
        with self._reporter.row() as stats:
            result = await self.work(row, stats)
        self._under_way.discard(number)
        self._hand.done(number)
        return result

    def _end(self, died: EngineDied) -> NoReturn:
        if self._journal and not isinstance(died, SettingsRefused):
            # a server that is away says nothing of the rows that were under way
            under_way = () if is_server(self._context.model) else sorted(self._under_way)
            self._journal.died(under_way, one_line(died))
        self._hand.end()
        end_actor(died, self._reporter)

    def _given(self, completion: Completion) -> None:
        self._reporter.stats.give_again(completion.prompt_tokens, completion.tokens_written)

    @abstractmethod
    async def work(self, row: Row, stats: WorkerStats) -> Result:
        """What becomes of a row. Counts tokens and outcomes in `stats`."""

    async def outcome(self, work: Awaitable[Found], step: str, failed: Callable[[Exception], Other]) -> Found | Other:
        """What `work` comes to, or what `failed` makes of its error: whatever goes wrong with a row is its outcome."""
        try:
            return await work
        except EngineDied as died:
            self._end(died)
        except Exception as error:  # a plug-in's own code may raise anything
            log.warning("%s of row %s failed", step, ROW.get(), exc_info=True, extra={"row": ROW.get()})
            return failed(error)


class BlockActor(PoolActor[Result]):
    """Takes all rows of a block through a model together, in a thread, while other blocks are made ready."""

    async def block(self, rows: Sequence[Row]) -> list[Result | None]:
        """Work on the rows that are to be worked on."""
        taken = [row for row in rows if self.takes(row)]
        with self._reporter.rows(len(taken)) as stats:
            results = iter(await asyncio.to_thread(self.work, taken, stats))
        chosen = {id(row) for row in taken}
        return [next(results) if id(row) in chosen else None for row in rows]

    @abstractmethod
    def work(self, rows: Sequence[Row], stats: WorkerStats) -> Sequence[Result]:
        """What becomes of rows. Counts tokens and outcomes in `stats`."""


def groups_of(limits: Sequence[int | None]) -> list[list[int]]:
    """Rows that may be under way with few others only, in groups that are not too large for any of them.

    `limits` says for each row how many may be in its group; None for rows that need none. Gives places in `limits`.
    """
    suspects = {place: max(1, limit) for place, limit in enumerate(limits) if limit is not None}
    groups: list[list[int]] = []
    for place in sorted(suspects, key=suspects.__getitem__):
        if groups and len(groups[-1]) < suspects[groups[-1][0]]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def rows_at_once(engine: Engine, draws: int = 1) -> int:
    """How many rows of so many draws a prompt keep the engine full; without a limit where it tells no slots."""
    return sys.maxsize if engine.max_concurrency is None else math.ceil(ROWS_PER_CALL * engine.max_concurrency / draws)


def load_engine(config: EngineConfig) -> Engine:
    """Load an actor's engine, leaving a line in the log for whoever waits for it."""
    started = time.monotonic()
    engine = build_engine(config)
    log.info("engine %s loaded in %.0f s", config.model, time.monotonic() - started)
    return engine


def end_actor(died: EngineDied, reporter: StatsReporter) -> NoReturn:
    """Leave the process, so that Ray starts the actor anew and its blocks with it.

    Raises EngineRefuses, which ends the run, where the engine takes no prompt as it is set.
    """
    if isinstance(died, SettingsRefused):
        raise EngineRefuses(" ".join(str(died).split())) from died
    log.error("%s; this actor ends and starts again", died, extra={"row": ROW.get()})
    reporter.ended(one_line(died))
    logging.shutdown()
    os._exit(ENGINE_DIED)
