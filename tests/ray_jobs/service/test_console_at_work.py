"""A person's day at the console of a real service: a trial, a run from it, its driver killed, resumed, looked at."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.output import lease
from ray_jobs.storage.store import open_store
from tests.ray_jobs.report.browser import needs_chromium
from tests.ray_jobs.samples import write_seeds
from tests.ray_jobs.service.command import evolve_serve
from tests.ray_jobs.service.person import Person, person
from tests.ray_jobs.service.warm import TOKEN

ENGINE: dict[str, Any] = {"kind": "scripted", "testing": {"decode_rate": 40}}
POOL = {"batch_rows": 2, "batches_in_flight": 1}
RUN = "by-hand"
SEEDS = 8


def kill_driver(output: Path) -> None:
    """End the process that holds an output, as nobody asks for it."""
    holder = lease.current(open_store(str(output)))
    assert holder is not None
    assert holder.alive
    os.kill(holder.pid, signal.SIGKILL)


async def _begins(somebody: Person, url: str) -> None:
    await somebody.open(url)
    await somebody.type("input[type=password]", TOKEN)
    await somebody.press("Enter")
    await somebody.sees("no run lies here yet")
    await somebody.click("Workbench")
    await somebody.type("textarea", "\n".join(f"Explain step {number}." for number in range(SEEDS)))
    await somebody.choose("Prompt to edit", "evol_instruct/deepen")
    await somebody.type("textarea.code", "Go deeper, to the lighthouse: {instruction}")
    await somebody.click(f"Try {SEEDS} seeds")
    await somebody.sees(f"{2 * SEEDS} of {2 * SEEDS} done")
    await somebody.sees("large")
    assert await somebody.value("document.querySelectorAll('ins').length") > 0
    await somebody.type("input[aria-label='Name of the run']", RUN)
    await somebody.finds(f"document.querySelector('.forecast strong')?.innerText === '{2 * SEEDS}'")
    await somebody.click("Start this as a run")
    await somebody.sees(f"{2 * SEEDS} rows")
    await somebody.click(f"Start {RUN}")


async def _loses_and_resumes(somebody: Person, output: Path) -> None:
    await somebody.finds("document.querySelector('progress')?.value > 0")
    kill_driver(output)
    await somebody.finds("!!document.querySelector('.state.failed, .state.stopped')")
    await somebody.click("Resume")
    await somebody.click(f"Resume {RUN}")
    await somebody.gone("dialog")
    await somebody.finds("!!document.querySelector('.state.finished')")
    await somebody.sees(f"{2 * SEEDS} of {2 * SEEDS} rows")


async def _reads(somebody: Person) -> None:
    await somebody.click("Records")
    await somebody.sees(f"{4 * SEEDS} records")
    await somebody.press("j")
    await somebody.sees("response")
    await somebody.click(RUN, "a")
    # it is made once the run is finished
    await somebody.finds(f"fetch('/v1/runs/{RUN}/report').then(answer => answer.ok)")
    await somebody.click("report", "a")
    await somebody.finds("location.pathname.endsWith('/report')")
    await somebody.sees("ic-ifd")


async def _day(url: str, output: Path) -> list[str]:
    async with person(1440, dark=False) as somebody:
        somebody.patience = 120.0
        await _begins(somebody, url)
        await _loses_and_resumes(somebody, output)
        await _reads(somebody)
        # that nobody is in yet, and that the report is not there yet, is for the browser to log
        return [said for said in somebody.complaints if "401" not in said and "404" not in said]


@needs_chromium
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_run_begun_by_hand_is_lost_resumed_and_read(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", ["Name three fruits."])
    settings = {
        "output": str(tmp_path / "runs" / "first"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "strategy": {"kind": "evol_instruct", "rounds": 2},
        "evolvers": {name: {"engine": ENGINE, "pool": POOL} for name in ("small", "large")},
        "responder": {"kind": "evolver"},
        "scorer": {"kind": "scripted"},
        "finish": [{"kind": "report"}],
    }
    (tmp_path / "runs").mkdir()
    with evolve_serve(tmp_path, settings) as service:
        assert asyncio.run(_day(service.url, tmp_path / "runs" / RUN)) == []
