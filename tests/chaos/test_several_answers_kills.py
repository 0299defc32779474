"""Runs with eight answers to an instruction that are killed again and again: nothing is lost, twice, or paid twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.chaos.conftest import MakeJob
from tests.chaos.jobs import LONGEST, Job, Place
from tests.chaos.nodes import until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.chaos_long]
KILLS, SEEDS = 4, 60


def several(make_job: MakeJob, folder: Path) -> Job:
    place = Place(str(folder))
    sampling = {"temperature": 0.8, "max_tokens": 90}
    job = make_job(place, SEEDS, responder__sampling=sampling, limits__journal=0.25)
    job.config["responder"] |= {"answers": 8, "choose": "ic_ifd", "pairs": {"against": "all"}}
    return job


def test_eight_answers_outlive_kills(make_job: MakeJob, tmp_path: Path) -> None:
    calm = several(make_job, tmp_path / "calm")
    calm.finish()
    asked = calm.calls
    job, random = several(make_job, tmp_path / "out"), Random(8)
    for _ in range(KILLS):
        command, before = job.start_working(), job.calls
        until(lambda before=before: job.calls > before + random.randint(10, 40), LONGEST, "work")  # type: ignore[misc]
        assert command.kill()
    job.finish()
    job.verify()
    assert job.records() == calm.records()
    # both runs ask for the same; what was in flight at a kill, or not yet in the journal, is asked for again
    in_flight = 2 * 24 + 64
    assert job.calls - 2 * asked < KILLS * 2 * in_flight
