"""Where a run's actors tell how far they are, and hear that the run is to stop.

One Ray actor without CPUs, `MonitorActor`, keeps the latest figures of every worker; each worker sends its own once a
second from a thread, so a row costs no message. `Monitor` is the handle that travels to workers. Ray is loaded where
it is used: a configuration is checked without it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evolve.engines.quota import Counts, Grant, Limits
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.manifest import Entry, Rows
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.schema import FAILED, KEPT

REPORT_SECONDS = 1.0
MAX_CAUSE_CHARACTERS = 400
ANSWER_SECONDS = 120.0
"""How long the driver waits for the monitor: longer than Ray takes to start it again."""


def one_line(error: BaseException) -> str:
    """An error's class and the first line of its message, for people."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return f"{type(error).__name__}: {text[:MAX_CAUSE_CHARACTERS]}"


@dataclass(frozen=True)
class Failures:
    """How many rounds failed for one reason, and what the first of them says."""

    count: int = 0
    example: str = ""

    def __add__(self, other: Failures) -> Failures:
        return Failures(self.count + other.count, self.example or other.example[:MAX_CAUSE_CHARACTERS])


@dataclass
class WorkerStats:
    """What one worker has done since it started. Rows count as in flight from `began` to `done`.

    `first_began` and `last_done` are moments of the worker's own monotonic clock.
    """

    began: int = 0
    done: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ready: bool = False
    first_began: float | None = None
    last_done: float | None = None
    held_seconds: float = 0.0
    """How long the worker has lived, loading its model included."""
    gpu_seconds: float = 0.0
    price_seconds: float = 0.0
    """The same times its cards, and times what an hour of it costs."""
    given_again: int = 0
    """Completions that came from the journal: their tokens were paid for before, and are not among those here."""
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failures] = field(default_factory=dict)
    """Those of the outcomes that failed, by their reasons; a rule that turns a round down is no failure."""
    slots: int = 0
    """How many prompts its engine works on at once, as far as it tells."""
    told: dict[str, None] = field(default_factory=dict)
    """What its engine has to say to whoever runs it, each once."""

    @property
    def busy_seconds(self) -> float:
        """From the beginning of the first row to the end of the last."""
        return self.last_done - self.first_began if self.last_done and self.first_began else 0.0

    def spend(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count tokens that a model read and wrote."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def give_again(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count a completion from the journal, whose tokens the row will spend once more."""
        self.given_again += 1
        self.spend(-prompt_tokens, -completion_tokens)

    def count(self, rounds: Iterable[RoundRow]) -> None:
        """Count how rounds left this stage: kept, or the reason why not."""
        for item in rounds:
            self.outcomes[KEPT if item["status"] == KEPT else item["reason"]] += 1
            if item["status"] == FAILED:
                reason = item["reason"]
                self.failures[reason] = self.failures.get(reason, Failures()) + Failures(1, item.get("error") or "")

    def add(self, other: WorkerStats) -> None:
        """Take another worker's figures in."""
        self.began += other.began
        self.done += other.done
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.held_seconds += other.held_seconds
        self.gpu_seconds += other.gpu_seconds
        self.price_seconds += other.price_seconds
        self.given_again += other.given_again
        self.outcomes.update(other.outcomes)
        self.slots += other.slots
        self.told |= other.told
        for reason, failures in other.failures.items():
            self.failures[reason] = self.failures.get(reason, Failures()) + failures


@dataclass
class PoolState:
    """One pool as the monitor knows it. `loading` and `ready` count workers heard from lately; `starts` counts all.

    `retried` are rows that workers had begun which are not heard from any more: Ray has others begin them again.
    """

    stats: WorkerStats = field(default_factory=WorkerStats)
    starts: int = 0
    loading: int = 0
    ready: int = 0
    in_flight: int = 0
    retried: int = 0
    busy_seconds: float = 0.0
    cause: str = ""
    """Why a worker of it ended last, as far as it could say so."""
    not_loaded: int = 0
    """How many workers could not load their model since one could last."""
    refused: str = ""
    """What the model or its server says of the configuration under which it cannot be used at all."""


@dataclass
class Snapshot:
    """All pools at one moment. `committed` is what this execution has committed so far."""

    pools: dict[str, PoolState]
    committed: OutcomeCounts
    parts: int


class MonitorActor:
    """The state behind `Monitor`. `pools` gives the pools an order in displays."""

    def __init__(self, pools: Iterable[str]) -> None:
        self._workers: dict[str, dict[str, tuple[WorkerStats, float]]] = {pool: {} for pool in pools}
        self._causes: dict[str, str] = {}
        self._not_loaded: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._committed = OutcomeCounts()
        self._parts: set[str] = set()
        self._rows: list[Rows] = []
        self._stopping = False
        self._keys = Counts()
        self._held: dict[str, tuple[str, list[int]]] = {}

    def report(self, pool: str, worker: str, stats: WorkerStats) -> bool:
        """Keep a worker's latest figures; answers whether the run is to stop."""
        self._workers.setdefault(pool, {})[worker] = (stats, time.monotonic())
        if stats.ready:
            self._not_loaded[pool] = 0
        return self._stopping

    def ended(self, pool: str, cause: str) -> None:
        """Keep why a worker ends."""
        self._causes[pool] = cause

    def holds(self, actor: str, node: str, rows: list[int]) -> None:
        """Keep which rows an actor on this node has in hand."""
        self._held[actor] = node, rows

    def left(self, actor: str) -> tuple[str, list[int]]:
        """Where an actor was, and which rows it had in hand, when it was heard of last. They are told once."""
        return self._held.pop(actor, ("", []))

    def not_loaded(self, pool: str, cause: str, refused: str) -> None:
        """Keep why a worker could not load its model, and what is `refused` of its configuration, if it is that."""
        self._causes[pool] = cause
        self._not_loaded[pool] += 1
        if refused:
            self._refused[pool] = refused

    def grant(self, key: str, limits: Limits, wanted: int, each: int, more: int) -> Grant:
        """How many requests may begin under a key now; see evolve.engines.quota."""
        return self._keys.grant(key, limits, wanted, each, more, time.monotonic())

    def committed(self, name: str, outcome_counts: OutcomeCounts, rows: Rows) -> None:
        """Count a committed part once."""
        if name not in self._parts:
            self._parts.add(name)
            self._committed.add(outcome_counts)
            self._rows.append(rows)

    def committed_rows(self) -> Rows:
        """The rows of the plan that were committed since this was asked last."""
        rows, self._rows = self._rows, []
        return np.concatenate([np.empty(0, np.int64), *rows])

    def stop(self) -> None:
        """From now on workers are told to take no more rows."""
        self._stopping = True

    def snapshot(self) -> Snapshot:
        """Everything, summed by pool."""
        pools = {
            name: replace(
                pool_state(workers.values(), time.monotonic()),
                cause=self._causes.get(name, ""),
                not_loaded=self._not_loaded[name],
                refused=self._refused.get(name, ""),
            )
            for name, workers in self._workers.items()
        }
        return Snapshot(pools, self._committed, len(self._parts))


def pool_state(workers: Iterable[tuple[WorkerStats, float]], now: float) -> PoolState:
    """A pool's workers added up, each with its figures and when it was heard from last, by the clock of `now`."""
    state = PoolState()
    for stats, heard in workers:
        state.starts += 1
        state.stats.add(stats)
        state.busy_seconds += stats.busy_seconds
        if now - heard < 10 * REPORT_SECONDS:
            state.ready += stats.ready
            state.loading += not stats.ready
            state.in_flight += stats.began - stats.done
        else:
            state.retried += stats.began - stats.done
    return state


@dataclass(frozen=True)
class Monitor:
    """The monitor as workers and the driver use it."""

    actor: Any

    @classmethod
    def create(cls, pools: Iterable[str]) -> Monitor:
        """Start a monitor on the driver's node, which alone must live as long as the run; it ends with the job.

        Should its process die, Ray starts it anew and repeats what was asked of it. Workers report all they have done
        each time, so the figures of those that live are whole again.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(MonitorActor)
        return cls(actor.options(scheduling_strategy=here).remote(list(pools)))

    def committed(self, entry: Entry) -> None:
        """Tell of a committed part; does not wait."""
        self.actor.committed.remote(entry.name, entry.outcome_counts, entry.rows)

    def stop(self) -> None:
        """Ask all workers to take no more rows."""
        import ray

        ray.get(self.actor.stop.remote(), timeout=ANSWER_SECONDS)

    def committed_rows(self) -> Rows:
        """The rows of the plan that were committed since this was asked last."""
        import ray

        rows: Rows = ray.get(self.actor.committed_rows.remote(), timeout=ANSWER_SECONDS)
        return rows

    def snapshot(self) -> Snapshot:
        """The state of all pools."""
        import ray

        snapshot: Snapshot = ray.get(self.actor.snapshot.remote(), timeout=ANSWER_SECONDS)
        return snapshot
