"""`evolve plan` of AutoIF against a run of the same configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ray_jobs.cli.app import main
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.phases import forecast_phases
from ray_jobs.forecast.plan import ForecastAnswer, Question
from ray_jobs.forecast.text import describe_phases
from ray_jobs.jobs.autoif.config import AutoIFConfig
from ray_jobs.jobs.autoif.stores import autoif_stores
from ray_jobs.jobs.registry import jobs_of, run_all
from ray_jobs.output import accept
from ray_jobs.storage.store import open_store
from tests.ray_jobs.jobs.autoif.samples import autoif_config

PHASES = ["augment", "instructions", "responses"]


def asked(run: AutoIFConfig, **question: object) -> dict[str, ForecastAnswer]:
    return forecast_phases(run, Question(**question), False, lambda _: None)  # type: ignore[arg-type]


def planned(run: AutoIFConfig) -> dict[str, dict[str, int]]:
    """The rows of a finished run by phase and evolver."""
    found: dict[str, dict[str, int]] = {}
    for name, store in autoif_stores(open_store(run.output)).items():
        plan = accept.load(store).plan
        assert plan is not None
        rows = found.setdefault(name, dict.fromkeys(run.evolvers, 0))
        for file in plan.files:
            if file.evolver in rows:
                rows[file.evolver] += file.rows
    return found


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_every_phase_is_forecast_from_what_the_one_before_keeps(tmp_path: Path) -> None:
    run = autoif_config(tmp_path, {"augment_calls": 2, "responses": 2, "queries": 3})
    # the sample is as large as the run, so that nothing is left to luck
    before = asked(run)
    assert not (tmp_path / "out").exists()
    report = run_all(jobs_of(run), say=lambda _: None)
    counted = planned(run)
    assert {name: dict(answer.rows_left) for name, answer in before.items()} == counted
    last = before["responses"].forecast
    assert last is not None
    assert last.records["kept"] == report["records"]["kept"]
    lines = "\n".join(describe_phases(before))
    assert list(before) == PHASES
    assert [name for name in PHASES if f"== {name}" in lines] == PHASES
    assert "together" in lines

    # what is done is not foretold again
    done = asked(run)
    assert {name: (answer.forecast, answer.rows_done) for name, answer in done.items()} == {
        name: (None, sum(rows.values())) for name, rows in counted.items()
    }


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_phases_that_nothing_reaches_are_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = autoif_config(tmp_path, {"cross_validation": {"min_cases": 60}})
    (tmp_path / "run.json").write_text(run.model_dump_json())
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tmp_path / "run.json"), "--json", str(tmp_path / "plan.json")])
    assert not ended.value.code
    said = capsys.readouterr()
    assert "--sample" in said.out + said.err
    assert list(json.loads((tmp_path / "plan.json").read_text())) == ["augment"]


def test_rates_alone_say_nothing_of_phases(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--rates"):
        asked(autoif_config(tmp_path), rates=tmp_path / "rates.yaml")
