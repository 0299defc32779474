"""When a run gives up waiting, and when a stop is over: hand-made snapshots, and a clock that tests set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from ray_jobs.config.run import LimitsConfig
from ray_jobs.errors import EngineRefuses, PoolError, Stalled, TooManyRestarts
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.pipeline.monitor import Failures, PoolState, Snapshot, WorkerStats
from ray_jobs.runner.told import Told
from ray_jobs.runner.watch import Execution, Stop, nothing_under_way
from ray_jobs.runner.watchdog import Watchdog, waiting_for


def snapshot(pools: dict[str, PoolState], parts: int = 0) -> Snapshot:
    return Snapshot(pools, OutcomeCounts(), parts)


def pool(done: int = 0, tokens: int = 0, **state: Any) -> PoolState:
    return PoolState(WorkerStats(done=done, completion_tokens=tokens), **state)


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def watchdog(clock: Clock, seconds: float = 60, restarts: int = 2) -> Watchdog:
    limits = LimitsConfig(stall_seconds=seconds, engine_restarts=restarts)
    return Watchdog(limits, {"evolve_a": 2, "respond": 1}, clock=clock)


def test_restarts_of_a_pool_that_gets_on_do_not_count() -> None:
    watching = watchdog(Clock())
    for done, starts in ((0, 4), (1, 5), (2, 9), (2, 11)):
        watching.observe(snapshot({"evolve_a": pool(done=done, starts=starts)}))
    with pytest.raises(TooManyRestarts, match="pool evolve_a: its actors were started again 3 times and finished no"):
        watching.observe(snapshot({"evolve_a": pool(done=2, starts=12, cause="EngineDied: gone")}))


@pytest.mark.parametrize(
    ("pools", "words"),
    [
        ({"evolve_a": pool(in_flight=3, ready=1)}, "3 rows in pool evolve_a"),
        (
            {"evolve_a": pool(ready=1), "respond": pool(in_flight=7, ready=1)},
            "7 rows in pool respond",
        ),
        ({"evolve_a": pool(loading=2)}, "pool evolve_a: 2 actors are loading their model"),
        (
            {"evolve_a": pool(ready=2), "respond": pool()},
            "pool respond: no actor has started; the cluster may lack the CPUs or GPUs that one asks for",
        ),
        ({"evolve_a": pool(ready=1)}, "the next block of rows; the cluster may lack a free CPU to read it with"),
        ({}, "the next block of rows; the cluster may lack a free CPU to read it with"),
    ],
)
def test_what_is_waited_for_is_said(pools: dict[str, PoolState], words: str) -> None:
    assert waiting_for(snapshot(pools)) == words
    clock = Clock()
    watching = watchdog(clock)
    watching.observe(snapshot(pools))
    clock.now += 61
    with pytest.raises(Stalled) as raised:
        watching.observe(snapshot(pools))
    assert str(raised.value) == f"nothing has moved for 60 s; waiting for {words}"


def test_whatever_moves_is_no_stall() -> None:
    clock = Clock()
    watching = watchdog(clock)
    moving = [
        snapshot({"evolve_a": pool()}),
        snapshot({"evolve_a": pool(starts=1, loading=1)}),
        snapshot({"evolve_a": pool(starts=1, ready=1)}),
        snapshot({"evolve_a": pool(ready=1)}),
        snapshot({"evolve_a": pool(ready=1, tokens=5)}),
        snapshot({"evolve_a": pool(ready=1, tokens=5, done=1)}),
        snapshot({"evolve_a": pool(ready=1, tokens=5, done=1)}, parts=1),
    ]
    for item in moving:
        watching.observe(item)
        clock.now += 61
    with pytest.raises(Stalled):
        watching.observe(moving[-1])


def test_actors_that_start_again_and_again_end_the_run() -> None:
    watching = watchdog(Clock())
    watching.observe(snapshot({"evolve_a": pool(starts=4), "respond": pool(starts=3)}))
    with pytest.raises(TooManyRestarts) as raised:
        watching.observe(snapshot({"evolve_a": pool(starts=4), "respond": pool(starts=4)}))
    assert str(raised.value) == (
        "pool respond: its actors were started again 3 times and finished no row in between, "
        "limits.engine_restarts allows 2; the log of its actors may say why"
    )


def failing(reason: str, count: int, slots: int = 0, **others: int) -> PoolState:
    stats = WorkerStats(done=count, outcomes=Counter({reason: count, **others}), slots=slots)
    stats.failures = {reason: Failures(count, "the server refuses the prompt: 400: no")}
    return PoolState(stats, ready=1)


def test_a_pool_whose_first_outcomes_all_failed_for_one_reason_is_given_up() -> None:
    for early in (failing("PromptRefused", 63), failing("PromptRefused", 64, slots=256)):
        watchdog(Clock()).observe(snapshot({"evolve_a": early}))
    with pytest.raises(PoolError, match=r"evolve_a.* first 64 outcomes .*PromptRefused: the server .*400: no"):
        watchdog(Clock()).observe(snapshot({"evolve_a": failing("PromptRefused", 64)}))


def test_rules_never_end_a_pool_nor_do_failures_beside_other_outcomes() -> None:
    turned_down = PoolState(WorkerStats(done=500, outcomes=Counter({"refusal": 500})), ready=1)
    mixed = failing("PromptRefused", 99, kept=1)
    watchdog(Clock()).observe(snapshot({"evolve_a": turned_down, "respond": mixed}))


def test_rows_that_all_fail_end_no_run_whose_output_has_kept_some() -> None:
    proven = Watchdog(LimitsConfig(), {"evolve_a": 1}, clock=Clock(), proven=True)
    proven.observe(snapshot({"evolve_a": failing("PromptRefused", 200)}))


def test_workers_count_failures_apart_with_the_first_ones_words() -> None:
    stats, whole = WorkerStats(slots=8), WorkerStats()
    failed = {"status": "failed", "reason": "PromptRefused"}
    stats.count([{"status": "rejected", "reason": "refusal"}, failed | {"error": "first"}, failed | {"error": "later"}])
    for _ in range(2):
        whole.add(stats)
    assert whole.failures == {"PromptRefused": Failures(4, "first")}
    assert whole.slots == 16


def test_a_model_that_cannot_be_loaded_is_tried_twice() -> None:
    def loading(times: int, **state: Any) -> Snapshot:
        return snapshot({"evolve_a": pool(not_loaded=times, cause="its model cannot be loaded: OSError", **state)})

    watchdog(Clock()).observe(loading(1))
    watchdog(Clock()).observe(loading(2, ready=1))
    with pytest.raises(PoolError, match="evolve_a: its model cannot be loaded: OSError"):
        watchdog(Clock()).observe(loading(2))
    with pytest.raises(EngineRefuses, match=r"engine.chat_template: drops"):
        watchdog(Clock()).observe(loading(1, refused="engine.chat_template: drops what the user says"))


def test_actors_that_no_node_can_hold_end_the_run_in_seconds_where_none_can_come() -> None:
    clock, sentence = Clock(), "pool evolve_a: no node of the cluster has what an actor of it asks for (4 GPU)"
    hopeless = Watchdog(LimitsConfig(), {"evolve_a": 1}, hopeless=lambda: [sentence], clock=clock)
    in_time = Watchdog(LimitsConfig(), {"evolve_a": 1}, hopeless=lambda: [sentence], clock=clock)
    for watching in (hopeless, in_time):
        watching.observe(snapshot({"evolve_a": pool()}))
    clock.now += 6
    in_time.observe(snapshot({"evolve_a": pool(starts=1)}))
    with pytest.raises(Stalled, match=r"4 GPU.* no autoscaler"):
        hopeless.observe(snapshot({"evolve_a": pool()}))


def test_what_engines_have_to_say_is_said_once() -> None:
    said: list[str] = []
    told, stats = Told(said.append), WorkerStats(told={"the server knows no seed": None})
    for _ in range(2):
        told.observe(snapshot({"evolve_a": PoolState(stats), "evolve_b": PoolState(stats)}))
    assert said == ["the server knows no seed"]


def test_a_stop_lets_rows_in_flight_finish() -> None:
    clock = Clock()
    stop = Stop(drain_seconds=60, quiet_seconds=5, clock=clock)
    assert not stop.is_over(snapshot({"a": pool(in_flight=1)}))
    clock.now += 6
    assert not stop.is_over(snapshot({"a": pool(in_flight=1)}))


def test_a_stop_gives_up_a_stream_in_which_nothing_is_in_flight() -> None:
    clock = Clock()
    stop = Stop(drain_seconds=60, quiet_seconds=5, clock=clock)
    assert not stop.is_over(snapshot({"a": pool(done=3)}))
    clock.now += 6
    assert stop.is_over(snapshot({"a": pool(done=3)}))


def test_what_is_still_committed_keeps_a_stop_waiting() -> None:
    clock = Clock()
    stop = Stop(drain_seconds=60, quiet_seconds=5, clock=clock)
    for parts in range(3):
        clock.now += 6
        assert not stop.is_over(snapshot({"a": pool(done=3)}, parts=parts))


def began(rows: int, done: int | None = None, **state: Any) -> PoolState:
    return PoolState(WorkerStats(began=rows, done=rows if done is None else done), **state)


@pytest.mark.parametrize(
    ("pools", "committed", "over"),
    [
        ({"a": began(0), "b": began(0), "respond": began(0, loading=1)}, 0, True),
        ({"a": began(3), "b": began(2), "respond": began(5)}, 5, True),
        ({"a": began(3), "b": began(2), "respond": began(3)}, 3, False),
        ({"a": began(3), "b": began(2), "respond": began(5)}, 4, False),
        ({"a": began(3, 2, in_flight=1), "b": began(2), "respond": began(4)}, 5, False),
    ],
)
def test_a_stop_waits_for_nothing_where_all_that_has_begun_is_committed(
    pools: dict[str, PoolState], committed: int, over: bool
) -> None:
    seen = Snapshot(pools, OutcomeCounts(rows=committed), 1)
    assert nothing_under_way(seen, ["a", "b"]) is over
    clock = Clock()
    stop = Stop(60, clock=clock, first=["a", "b"])
    assert not stop.is_over(seen)
    clock.now += 3
    assert stop.is_over(seen) is over


def test_seeds_that_could_not_be_read_are_no_rows_that_came_through() -> None:
    counts = OutcomeCounts(rows=5, outcomes=Counter({("", 0, "failed", "wrong_type"): 2, ("a", 1, "kept", ""): 3}))
    assert not nothing_under_way(Snapshot({"a": began(5)}, counts, 1), ["a"])


def test_rows_that_failed_are_rows_that_came_through() -> None:
    counts = OutcomeCounts(rows=5, outcomes=Counter({("a", 1, "failed", "PromptRefused"): 2, ("a", 1, "kept", ""): 3}))
    assert nothing_under_way(Snapshot({"a": began(5)}, counts, 1), ["a"])


def test_a_stop_ends_when_its_time_is_up() -> None:
    clock = Clock()
    stop = Stop(drain_seconds=60, clock=clock)
    assert not stop.is_over(snapshot({"a": pool(in_flight=1)}))
    clock.now += 61
    assert stop.is_over(snapshot({"a": pool(in_flight=1)}))


def test_what_an_execution_raises_waits_for_the_watcher() -> None:
    def fail() -> None:
        raise SystemExit(3)

    execution = Execution(fail)
    execution.start()
    execution.join()
    assert isinstance(execution.error, SystemExit)
