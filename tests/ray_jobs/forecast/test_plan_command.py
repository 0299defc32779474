"""`evolve plan` against a run of the same configuration, on scripted engines whose speed is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.cli.app import main
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import BudgetSpent, ConfigError, LeaseHeld, SettingsChanged, StorageError
from ray_jobs.forecast.plan import ForecastAnswer, Question, forecast_run, headline
from ray_jobs.forecast.sample import draw
from ray_jobs.forecast.text import describe
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.lease import acquire
from ray_jobs.output.run_files import load_sessions
from ray_jobs.runner.run import run
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import new_epoch, plan_numbers, run_config, write_seeds

SEEDS, SLOTS, DECODE_RATE = 160, 16, 40
RATES = {"tokens_per_second": 1000, "prompt_tokens": 60, "completion_tokens": 40}


def config(folder: Path, decode_rate: float = DECODE_RATE, **changes: Any) -> RunConfig:
    """One evolver, which the responder and the scorer wait for: sixteen calls at once, a second each."""
    write_seeds(folder / "seeds.jsonl", [f"Count to {number}. {'Slowly. ' * (number % 20)}" for number in range(SEEDS)])
    engine = {"kind": "scripted", "slots": SLOTS, "decode_rate": decode_rate, "median_tokens": 36, "sigma": 0.5}
    pool = {"size": 1, "batch_rows": 20}
    defaults: dict[str, Any] = {
        "strategy": {"rounds": 2},
        "evolvers": {"a": {"engine": engine, "pool": {**pool, "gpus": 1, "price": 3600}}},
        "responder": {"engine": {**engine, "model": "answers", "slots": 40}, "pool": pool},
        "scorer": {"kind": "scripted", "pool": pool},
    }
    return run_config(folder, **(defaults | changes))


def asked(run: RunConfig, **question: Any) -> ForecastAnswer:
    return forecast_run(run, Question(**question), False, lambda _: None)


@pytest.mark.usefixtures("local_ray")
def test_a_forecast_comes_true(tmp_path: Path) -> None:
    found = asked(config(tmp_path))
    assert not (tmp_path / "out").exists()
    forecast_now = found.forecast
    assert forecast_now is not None
    assert forecast_now.bottleneck == "evolve_a"

    # what the run takes by the clock is for benchmarks/plan_forecast.py; here it takes none
    job = config(tmp_path, decode_rate=0)
    report = run(SynthesisJob(job))
    assert report["rows"]["done"] == forecast_now.rows == SEEDS
    written = report["pools"]["evolve_a"]["completion_tokens"]
    assert forecast_now.rows_per_second == pytest.approx(SLOTS * DECODE_RATE * SEEDS / written, rel=0.15)
    for pool in forecast_now.pools:
        measured = report["pools"][pool.name]
        assert pool.prompt_tokens == pytest.approx(measured["prompt_tokens"], rel=0.15), pool.name
        assert pool.completion_tokens == pytest.approx(measured["completion_tokens"], rel=0.15), pool.name
    size = sum(path.stat().st_size for part in ("data", "rejected") for path in (tmp_path / "out" / part).glob("*"))
    # a file costs some kilobytes whatever is in it, which tells in so small a run
    assert forecast_now.bytes == pytest.approx(size, rel=0.5)
    # one range in twenty misses; what this one is about, it must be near
    low, high = found.ranges["tokens"]
    tokens = sum(pool["prompt_tokens"] + pool["completion_tokens"] for pool in report["pools"].values())
    assert 1.5 * low - 0.5 * high < tokens < 1.5 * high - 0.5 * low

    # what is done is not foretold again
    assert list(describe(asked(job, sample=2))) == ["nothing is left to do"]


@pytest.mark.usefixtures("local_ray")
def test_a_run_stops_before_it_takes_more_than_its_budget(tmp_path: Path) -> None:
    # the evolver's actor costs one a second; ending may take twenty seconds and fifteen more
    with pytest.raises(BudgetSpent, match=r"limits.budget.money allows 50"):
        run(SynthesisJob(config(tmp_path, decode_rate=20, limits=limits(50))))
    [session] = load_sessions(open_store(str(tmp_path / "out")))
    spent = sum(pool["cost"] for pool in session.pools.values())
    assert 15 < spent <= 50
    assert 0 < session.committed_rows < SEEDS
    assert not (tmp_path / "out" / "_SUCCESS").exists()

    # what is left of it does not start anything; a larger one goes on
    with pytest.raises(BudgetSpent, match=f"{spent:.3f} are spent"):
        run(SynthesisJob(config(tmp_path, limits=limits(spent + 34))))
    report = run(SynthesisJob(config(tmp_path, decode_rate=0, limits=limits(10_000))))
    assert report["rows"]["done"] == SEEDS
    evolver = report["pools"]["evolve_a"]
    assert evolver["cost"] > spent
    assert evolver["gpu_hours"] == pytest.approx(evolver["cost"] / 3600, rel=0.01)


def limits(money: float) -> dict[str, Any]:
    return {"drain_seconds": 20, "budget": {"money": money}}


def stated(folder: Path, **more: float) -> Path:
    pools = dict.fromkeys(("evolve_a", "respond", "score"), RATES)
    (folder / "rates.yaml").write_text(json.dumps({"pools": pools, **more}))
    return folder / "rates.yaml"


def test_stated_rates_need_no_cluster_and_can_be_given_back(tmp_path: Path) -> None:
    found = asked(config(tmp_path), rates=stated(tmp_path, bytes_per_row=1000))
    assert found.forecast is not None
    # 0.1 s a row
    assert found.forecast.rows_per_second == pytest.approx(10)
    assert found.ranges == {}
    lines = list(describe(found))
    assert "output     0.2 MB" in lines
    assert "From stated rates: no range is known." in lines
    (tmp_path / "plan.json").write_text(json.dumps(found.to_json()))
    again = asked(config(tmp_path), rates=tmp_path / "plan.json")
    assert again.forecast is not None
    assert headline(again.forecast) == headline(found.forecast)


def test_the_sample_does_not_depend_on_the_order_of_the_seeds(tmp_path: Path) -> None:
    texts = [f"Count to {number}." for number in range(100)]
    drawn = []
    for order in (texts, texts[::-1]):
        job = config(tmp_path)
        write_seeds(tmp_path / "seeds.jsonl", order)
        synthesis_job = SynthesisJob(job)
        found = draw(synthesis_job.seed_source(), synthesis_job.fanout(), 10)
        assert [order[place] for place, _ in found.seeds] == [seed.instruction for _, seed in found.seeds]
        assert found.rows == {"a": 100}
        drawn.append({seed.seed_id for _, seed in found.seeds})
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 10


def test_rows_are_counted_as_the_plan_splits_them(tmp_path: Path) -> None:
    engine = {"kind": "scripted"}
    evolvers = {"a": {"engine": engine, "weight": 3}, "b": {"engine": engine, "weight": 1}}
    job = SynthesisJob(config(tmp_path, evolvers=evolvers, sharing="split", samples=2))
    found = draw(job.seed_source(), job.fanout(), 5)
    assert sum(found.rows.values()) == 2 * SEEDS
    assert 0.65 < found.rows["a"] / (2 * SEEDS) < 0.85


def test_what_would_stop_the_run_stops_the_plan(tmp_path: Path) -> None:
    job, rates = config(tmp_path), stated(tmp_path)
    store = open_store(job.output)
    lease = acquire(store)
    with pytest.raises(LeaseHeld):
        asked(job, rates=rates)
    lease.release()
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Not a directory"):
        asked(config(tmp_path, output=str(tmp_path / "file" / "out")), rates=rates)


@pytest.mark.usefixtures("local_ray")
def test_pools_that_the_cluster_cannot_hold_are_told_before_anything_is_tried(tmp_path: Path) -> None:
    large = {"engine": {"kind": "scripted"}, "pool": {"size": 2, "gpus": 8, "price": 1}}
    with pytest.raises(ConfigError, match=r"pool evolve_a: the cluster holds 0 actors of it at most \(1 CPU, 8 GPU\)"):
        asked(config(tmp_path, evolvers={"a": large}))
    found = asked(
        config(tmp_path, evolvers={"a": {**large, "pool": {"min_size": 1, "max_size": 20}}}), rates=stated(tmp_path)
    )
    assert found.notes == ["pool evolve_a: the cluster holds 12 actors of it at most (1 CPU), max_size is 20"]


def test_settings_that_changed_are_told(tmp_path: Path) -> None:
    text = config(tmp_path).model_dump_json()
    (tmp_path / "run.yaml").write_text(text)
    epoch = new_epoch(open_store(str(tmp_path / "out")))
    epoch.settle({"strategy.rounds": 7})
    plan_numbers(epoch, 2)
    with pytest.raises(SettingsChanged, match=r"strategy.rounds: 7 before, 2 now"):
        asked(load_config(tmp_path / "run.yaml"), rates=stated(tmp_path))


def test_the_command_prints_the_forecast_and_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(config(tmp_path).model_dump_json())
    arguments = [
        "plan",
        str(tmp_path / "run.yaml"),
        "--rates",
        str(stated(tmp_path)),
        "--json",
        str(tmp_path / "plan.json"),
    ]
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    shown = capsys.readouterr().out
    assert exited.value.code == 0
    assert f"seeds, templates and output are in order: {SEEDS} rows to do, 0 done" in shown
    assert "bottleneck evolve_a: the other pools wait for it" in shown
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written["forecast"]["bottleneck"] == "evolve_a"
    assert written["forecast"]["seconds"] == pytest.approx(SEEDS / 10)
    assert not (tmp_path / "out").exists()

    with pytest.raises(SystemExit):
        main([*arguments[:-1], "-"])
    assert json.loads(capsys.readouterr().out).keys() == written.keys()


def test_a_budget_of_an_unknown_kind_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(config(tmp_path).model_dump_json())
    with pytest.raises(SystemExit) as exited:
        main(["run", str(tmp_path / "run.yaml"), "--budget", "gpu_hour=3"])
    assert exited.value.code == 2
    assert "limits.budget.gpu_hour: unknown field; did you mean gpu_hours?" in capsys.readouterr().err
