"""What a run would take, from how fast earlier runs below the service's folders were on the same models.

Nothing is tried: a sample would take the machines of the engines that people are using.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray_jobs.config.run import RunConfig
from ray_jobs.errors import JobError
from ray_jobs.forecast.plan import answered, headline, rows_left
from ray_jobs.forecast.rates import PoolRate, Rates
from ray_jobs.forecast.sample import Draw, draw
from ray_jobs.jobs.finish import check_finish
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.preflight import check_places, check_settings
from ray_jobs.jobs.registry import jobs_of
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.plan import check_size
from ray_jobs.output.run_files import ready_last_time
from ray_jobs.pipeline.stage import Stage
from ray_jobs.service.figures import Found, pool_lines
from ray_jobs.service.runs import Runs
from ray_jobs.service.starting import Starting

DRAWN_SECONDS = 60.0
"""How long a count of the same seeds stands."""
UNKNOWN = "no run here has used {} yet, so nobody knows how fast it is; `evolve plan` tries a sample"
PHASES = "`evolve plan` forecasts a job of phases, from a small one of its own"


@dataclass(frozen=True)
class Told:
    """How fast a pool was in an earlier run, and which run that was."""

    rate: PoolRate
    run_id: str
    found: Found


class Planning:
    """Forecasts configurations that clients send."""

    def __init__(self, runs: Runs, starting: Starting, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs, self._starting, self._clock = runs, starting, clock
        self._drawn: tuple[str, float, Draw] | None = None

    def plan(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Check a configuration as a run would, and say what it takes.

        `forecast` is None where `why` says what is not known. Raises ConfigError with everything that is wrong,
        SeedError, Refused.
        """
        with tempfile.TemporaryDirectory(prefix="evolve-plan-") as folder:
            loaded = load_config(self._starting.settings(raw, str(raw.get("id") or "new"), folder))
            check_finish(loaded)
            for job in jobs_of(loaded):
                check_places(job)
                check_settings(job)
            if not isinstance(loaded, RunConfig):
                return {"valid": True, "rows": None, "forecast": None, "from": [], "why": PHASES}
            return self._forecast(SynthesisJob(loaded))

    def _forecast(self, job: SynthesisJob) -> dict[str, Any]:
        drawn = self._draw(job)
        check_size(sum(drawn.rows.values()), job.config.limits.planned_rows, 0)
        left, done = rows_left(job, drawn)
        rows = sum(left.values())
        found: dict[str, Any] = {
            "valid": True,
            "rows": {"to_do": rows, "done": done, "evolvers": left, "records": rows * job.records_per_row},
            "forecast": None,
            "from": [],
            "why": None,
        }
        if not rows:
            return found | {"why": "nothing is left to do"}
        told = self._speeds(job)
        if unknown := [stage for stage in job.pipeline.stages if stage.name not in told]:
            return found | {"why": UNKNOWN.format(unknown[0].model.model)}
        answer = answered(job, _rates(job, told), None, left, done, [])
        numbers = {**answer.to_json()["forecast"], **headline(answer.forecast)} if answer.forecast else None
        return found | {"forecast": numbers, "from": sorted({item.run_id for item in told.values()})}

    def _draw(self, job: SynthesisJob) -> Draw:
        """The rows that all seeds come to; not read anew each time for somebody who edits settings."""
        source, fanout = job.seed_source(), job.fanout()
        key = repr((source, replace(fanout, strategy_fingerprint="")))
        if self._drawn and self._drawn[0] == key and self._clock() - self._drawn[1] < DRAWN_SECONDS:
            return self._drawn[2]
        drawn = draw(source, fanout, 1)
        self._drawn = key, self._clock(), drawn
        return drawn

    def _speeds(self, job: SynthesisJob) -> dict[str, Told]:
        """For each pool the speed of the latest run that used its model."""
        told = dict[str, Told]()
        wanted = {stage.name: stage for stage in job.pipeline.stages}
        for run_id, found in self._latest():
            lines = [line for line in pool_lines(found) if line.get("rows") and line.get("tokens_per_actor_second")]
            for name in wanted.keys() - told.keys():
                if line := _same_model(lines, wanted[name]):
                    told[name] = Told(_rate(job, found, line), run_id, found)
        return told

    def _latest(self) -> Sequence[tuple[str, Found]]:
        read = list[tuple[str, Found]]()
        for run_id in self._runs.ids():
            try:
                found = self._runs.find(run_id)
            except JobError:
                continue
            if found.sessions:
                read.append((run_id, found))
        return sorted(read, key=lambda item: item[1].sessions[-1].started_at, reverse=True)


def _same_model(lines: Sequence[Mapping[str, Any]], stage: Stage) -> Mapping[str, Any] | None:
    same = [line for line in lines if line["model"] == stage.model.model]
    return next((line for line in same if line["name"] == stage.name), same[0] if same else None)


def _rate(job: SynthesisJob, found: Found, line: Mapping[str, Any]) -> PoolRate:
    # a row of more rounds has as many more calls
    more, rows = _rounds(job) / _rounds_of(found), line["rows"]
    return PoolRate(
        tokens_per_second=line["tokens_per_actor_second"],
        prompt_tokens=more * line["prompt_tokens"] / rows,
        completion_tokens=more * line["completion_tokens"] / rows,
        load_seconds=ready_last_time(found.sessions).get(line["name"], 0.0),
    )


def _rounds(job: SynthesisJob) -> int:
    assert isinstance(job.config, RunConfig), "a synthesis is made of one"
    return job.config.strategy.rounds


def _rounds_of(found: Found) -> int:
    strategy = (found.run.get("configuration") or {}).get("strategy") or {}
    return int(strategy.get("rounds") or 1)


def _rates(job: SynthesisJob, told: Mapping[str, Told]) -> Rates:
    """Speeds of the pools, and what a row became in the run that the first of them is from."""
    found = next(iter(told.values())).found
    counts = found.accepted.manifest.outcome_counts()
    more, rows = job.records_per_row / int(found.run.get("records_per_row") or 1), max(counts.rows, 1)
    size = sum(part.bytes for entry in found.accepted.parts for part in entry.files)
    return Rates(
        pools={name: item.rate for name, item in told.items()},
        bytes_per_row=more * size / rows,
        records_per_row={status: more * count / rows for status, count in counts.by_status().items()},
    )
