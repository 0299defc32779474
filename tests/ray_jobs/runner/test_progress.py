"""What people see of a run: rates, ETA and states from hand-made snapshots."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from evolve.engines.quota import Limits
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import ScriptedScorerConfig
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.pipeline.actors import ScoreActor
from ray_jobs.pipeline.monitor import MonitorActor, PoolState, Snapshot, WorkerStats, pool_state
from ray_jobs.pipeline.queues import Queues
from ray_jobs.pipeline.stage import Pipeline, Stage
from ray_jobs.runner.displays import make_display
from ray_jobs.runner.notebook import NotebookDisplay
from ray_jobs.runner.progress import LineDisplay, LiveDisplay, PoolLine, Work, in_clock


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


TOTALS = {"evolve_a": 100, "respond": 100}


def snapshot(parts: int = 0, committed: OutcomeCounts | None = None, **pools: PoolState) -> Snapshot:
    return Snapshot(pools, committed or OutcomeCounts(), parts)


def pool(done: int, tokens: int = 0, **state: Any) -> PoolState:
    outcomes = Counter({"kept": done, "unchanged": 2, "refusal": 1})
    return PoolState(WorkerStats(done=done, prompt_tokens=tokens, completion_tokens=tokens, outcomes=outcomes), **state)


def after(seconds: float, first: Snapshot, then: Snapshot) -> list[PoolLine]:
    """The lines of the second of two snapshots that lie `seconds` apart."""
    now = Clock()
    display = LineDisplay(Work(TOTALS, 100, 0), now)
    display.lines(first)
    now.seconds += seconds
    return display.lines(then)


def test_rates_and_eta_are_those_of_the_last_minute() -> None:
    (line,) = after(0.2, snapshot(evolve_a=pool(10, 100)), snapshot(evolve_a=pool(20, 300, ready=1, in_flight=5)))
    assert (line.done, line.total, line.in_flight, line.not_kept) == (20, 100, 5, 3)
    assert 400 / line.tokens_per_second == pytest.approx(0.2, rel=0.5)
    # 10 rows took that long, 80 are left
    assert line.eta_seconds == pytest.approx(8 * 400 / line.tokens_per_second)


def test_before_anything_has_happened_no_rate_is_known() -> None:
    (line,) = LineDisplay(Work(TOTALS, 100, 0)).lines(snapshot(evolve_a=pool(0)))
    assert (line.tokens_per_second, line.eta_seconds) == (0.0, None)
    (line,) = after(0.05, snapshot(evolve_a=pool(7)), snapshot(evolve_a=pool(7)))
    assert line.eta_seconds is None


def test_a_pool_that_is_done_has_nothing_to_wait_for() -> None:
    (line,) = LineDisplay(Work(TOTALS, 100, 0)).lines(snapshot(evolve_a=pool(100, ready=1)))
    assert (line.eta_seconds, line.state) == (0.0, "done")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "waiting for its first actor"),
        ({"loading": 2}, "2 loading"),
        ({"loading": 1, "ready": 3, "in_flight": 9}, "3 ready, 1 loading"),
        ({"ready": 3}, "3 ready, waiting for rows"),
    ],
)
def test_states(state: dict[str, int], words: str) -> None:
    (line,) = LineDisplay(Work(TOTALS, 100, 0)).lines(snapshot(evolve_a=pool(1, **state)))
    assert line.state == words


def test_a_display_says_whose_queue_is_empty_or_full() -> None:
    slow = PoolConfig(size=1, batch_rows=10, batches_in_flight=2)
    evolvers = (stage("evolve_a", slow, "a"), stage("evolve_b", slow, "b"))
    pipeline = Pipeline(("a", "b"), (*evolvers, stage("respond", slow), stage("score", slow)))
    display = LineDisplay(Work(dict.fromkeys(pipeline.pools(), 1000), 1000, 0, Queues.of(pipeline)))

    def states(score_began: int, respond_began: int, ready: int = 1) -> list[str]:
        evolve = PoolState(WorkerStats(began=60, done=50), ready=1, in_flight=10)
        respond = PoolState(WorkerStats(began=respond_began, done=60), ready=ready, in_flight=respond_began - 60)
        score = PoolState(WorkerStats(began=score_began, done=40), ready=1, in_flight=score_began - 40)
        seen = snapshot(evolve_a=evolve, evolve_b=evolve, respond=respond, score=score)
        return [line.state for line in display.lines(seen)]

    # 100 rows are evolved, 60 answered; each actor takes 20 rows at once
    assert states(respond_began=80, score_began=50) == [
        "1 ready",
        "1 ready",
        "1 ready, queue full (20 rows)",
        "1 ready",
    ]
    assert states(respond_began=81, score_began=60)[2:] == ["1 ready", "1 ready"]
    assert states(respond_began=81, score_began=55)[3] == "1 ready"
    assert states(respond_began=65, score_began=40)[3] == "1 ready, queue full (20 rows)"
    assert states(respond_began=65, score_began=59)[3] == "1 ready"
    assert states(respond_began=100, score_began=60, ready=3)[2] == "3 ready, queue empty"


def stage(name: str, pool: PoolConfig, branch: str | None = None) -> Stage:
    return Stage(
        name, name, ScoreActor, ScriptedScorerConfig(kind="scripted"), pool, branches=(branch,) if branch else ()
    )


def test_pools_that_all_rows_pass_are_a_chain() -> None:
    generate, check, score = (stage(name, PoolConfig(size=1)) for name in ("generate", "check", "score"))
    assert Queues.of(Pipeline(("pairs",), (score,))).before == {}
    assert Queues.of(Pipeline(("x",), (generate, check, score))).before == {
        "check": ("generate",),
        "score": ("check",),
    }


def shown_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_lines_have_time_elapsed_and_eta(capsys: pytest.CaptureFixture[str]) -> None:
    committed = OutcomeCounts(rows=1200, outcomes=Counter({("a", 1, "kept", ""): 1100, ("a", 1, "failed", "E"): 100}))
    now = Clock()
    display = LineDisplay(Work({"evolve_a": 5000}, 10_000, 300), now, lambda: datetime(2026, 5, 4, 3, 2, 1))
    now.seconds += 80
    display.observe(snapshot(12, committed, evolve_a=pool(1500, ready=1, in_flight=64)))
    assert shown_lines(capsys) == [
        "2026-05-04 03:02:01 +1:20 evolve_a: 1,500/5,000 rows, 64 in flight, 3 not kept, 1 ready, 0 tokens/s, ETA -",
        "2026-05-04 03:02:01 +1:20 committed 1,500 of 10,000 rows in 12 new parts (records: 100 failed, 1,100 kept), "
        "ETA -",
    ]


def test_lines_come_every_ten_seconds_and_again_only_where_something_has_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = Clock()
    display = LineDisplay(Work(TOTALS, 100, 0), now)

    def pools_told(after: float, **pools: PoolState) -> list[str]:
        now.seconds += after
        display.observe(snapshot(**pools))
        return [line.split(" ")[3].rstrip(":") for line in shown_lines(capsys)]

    first = {"evolve_a": pool(1, ready=1), "respond": pool(0)}
    assert pools_told(0, **first) == ["evolve_a", "respond", "committed"]
    assert pools_told(9, **first | {"evolve_a": pool(2, ready=1)}) == []
    assert pools_told(1, **first | {"evolve_a": pool(2, ready=1)}) == ["evolve_a", "committed"]
    for after in (30, 30, 60, 120, 240, 300):
        assert pools_told(after - 10, **first | {"evolve_a": pool(2, ready=1)}) == []
        assert pools_told(10, **first | {"evolve_a": pool(2, ready=1)}) == ["nothing"]
    assert pools_told(10, **first | {"evolve_a": pool(3, ready=1)}) == ["evolve_a", "committed"]


def test_a_silent_start_says_what_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    now = Clock()
    display = LineDisplay(Work(TOTALS | {"score": 100, "old": 0}, 100, 0), now)
    held = snapshot(evolve_a=pool(0, loading=2), respond=pool(0, loading=1, ready=1), score=pool(0), old=pool(0))
    display.observe(held)
    shown_lines(capsys)
    now.seconds += 30
    display.observe(held)
    (line,) = shown_lines(capsys)
    assert line.partition(" nothing ")[2] == (
        "has changed for 0:30; waiting for the models of evolve_a to load and the first actor of score"
    )


@pytest.mark.parametrize("state", [{}, {"loading": 1}])
def test_what_is_waited_for_in_start_up_says_how_long_it_took_last_time(state: dict[str, int]) -> None:
    work = Work(TOTALS, 100, 0, ready_last_time={"evolve_a": 48.2})
    (line,) = LineDisplay(work).lines(snapshot(evolve_a=pool(0, **state)))
    assert "0:48 last time" in line.state
    (line,) = LineDisplay(work).lines(snapshot(evolve_a=pool(0, ready=1)))
    assert "last time" not in line.state


def test_bars_on_a_terminal() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    with LiveDisplay(Work(TOTALS, 100, 0), console) as display:
        display.observe(snapshot(evolve_a=pool(50, ready=1, in_flight=4), respond=pool(0)))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert re.search(r"evolve_a +━+ *50/100 +4 +0 +3 +- +1 ready", shown)
    assert re.search(r"respond .* 0/100 .* waiting for its first actor", shown)
    assert "committed 0 of 100 rows in 0 new parts" in shown


def test_a_notebook_has_a_table_that_is_drawn_again_each_second_and_at_the_end() -> None:
    drawn: list[str] = []
    now = Clock()
    with NotebookDisplay(Work(TOTALS, 100, 0), drawn.append, now) as display:
        for done in (10, 20, 30):
            display.observe(snapshot(evolve_a=pool(done, ready=1), **{"<b>": pool(1)}))
            now.seconds += 0.6
        assert len(drawn) == 2
    assert len(drawn) == 3
    assert '<td>evolve_a</td><td><progress value="30" max="100"></progress></td><td>30/100</td>' in drawn[-1]
    assert "&lt;b&gt;" in drawn[-1]
    assert "<b>" not in drawn[-1]
    assert "committed 0 of 100 rows" in drawn[-1]


def test_lines_where_there_is_no_terminal() -> None:
    assert isinstance(make_display(Work(TOTALS, 1, 0)), LineDisplay)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3600, "1:00:00"), (90_061, "25:01:01")],
)
def test_seconds_in_clock_form(seconds: float | None, shown: str) -> None:
    assert in_clock(seconds) == shown


def test_rows_of_a_worker_that_is_lost_begin_again() -> None:
    lost, other = WorkerStats(began=9, done=4, ready=True), WorkerStats(began=7, done=6, ready=True)
    state = pool_state([(lost, 100.0), (other, 115.0)], now=116.0)
    assert (state.starts, state.ready, state.in_flight, state.retried) == (2, 1, 1, 5)


def test_the_monitor_adds_workers_up() -> None:
    monitor = MonitorActor(["evolve_a", "respond"])
    assert not monitor.report("evolve_a", "one", WorkerStats(began=3))
    monitor.report("evolve_a", "one", WorkerStats(began=5, done=2, completion_tokens=7, ready=True))
    monitor.report("evolve_a", "two", WorkerStats())
    for _ in range(2):
        monitor.committed("part", OutcomeCounts(rows=4), np.arange(4))
    assert [monitor.committed_rows().tolist() for _ in range(2)] == [[0, 1, 2, 3], []]
    found = monitor.snapshot()
    state = found.pools["evolve_a"]
    assert (state.starts, state.ready, state.loading, state.in_flight) == (2, 1, 1, 3)
    assert (state.stats.began, state.stats.done, state.stats.completion_tokens) == (5, 2, 7)
    assert found.pools["respond"] == PoolState()
    assert (found.parts, found.committed.rows) == (1, 4)
    monitor.stop()
    assert monitor.report("respond", "three", WorkerStats())


def test_the_monitor_counts_what_all_workers_ask_for_under_a_key() -> None:
    monitor, limits = MonitorActor(["a", "b"]), Limits(requests=1)
    assert [monitor.grant("key", limits, 1, 0, 0).requests for _ in range(2)] == [1, 0]
    assert monitor.grant("another key", limits, 1, 0, 0).requests == 1


def test_the_monitor_tells_once_what_an_actor_had_in_hand() -> None:
    monitor = MonitorActor(["a"])
    monitor.holds("actor", "node", [1, 2])
    monitor.holds("actor", "node", [2, 3])
    assert monitor.left("another") == ("", [])
    assert monitor.left("actor") == ("node", [2, 3])
    assert monitor.left("actor") == ("", [])
