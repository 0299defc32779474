"""The console, driven as a person would: no complaint in the log, nothing wider than the window, text stays text."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ray_jobs.service.state import ServiceState
from tests.ray_jobs.report.browser import CHROMIUM
from tests.ray_jobs.service.person import Person, person
from tests.ray_jobs.service.served import SETTINGS, Recorder, application, make_run, served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; Debian's package chromium has one"),
]
LOOKS = [(1440, False), (1440, True), (390, False), (390, True)]


async def _fits(somebody: Person, name: str) -> None:
    assert await somebody.value("document.title") == "slm-evolve"
    assert await somebody.value("document.documentElement.scrollWidth <= innerWidth"), name
    if folder := os.environ.get("CONSOLE_PICTURES"):
        width = await somebody.value("innerWidth")
        dark = await somebody.value("matchMedia('(prefers-color-scheme: dark)').matches")
        picture = Path(folder) / f"{name}-{width}-{'dark' if dark else 'light'}.png"
        picture.write_bytes(await somebody.picture())


async def _walk(url: str, width: int, dark: bool) -> list[str]:
    async with person(width, dark) as somebody:
        await somebody.open(url)
        await somebody.sees("half")
        await _fits(somebody, "runs")
        await somebody.click("first")
        await somebody.sees("from planned to kept")
        await somebody.sees("refusal")
        await somebody.sees("within ten seconds")
        await _fits(somebody, "run")
        await somebody.click("✓ kept", "a")
        await somebody.sees("65 records")
        await somebody.press("j")
        await somebody.sees("Seed")
        await somebody.sees("Response")
        assert "onerror" in str(await somebody.value("document.body.innerText"))
        assert await somebody.value("document.images.length") == 0
        assert "outcome=kept" in str(await somebody.value("location.search"))
        await _fits(somebody, "records")
        await somebody.type("input[type=search]", "Explain step 12 ")
        await somebody.press("Enter")
        await somebody.sees("1 hits")
        await _workbench(somebody)
        return somebody.complaints


async def _workbench(somebody: Person) -> None:
    await somebody.click("Workbench")
    await somebody.type("textarea", "Explain tides.\nName three rivers.")
    await somebody.click("Try 2 seeds")
    await somebody.sees("large")
    await somebody.sees("how step 2 is checked")
    await somebody.sees("IC-IFD 0.310")
    assert await somebody.value("document.querySelectorAll('ins').length") > 0
    await _fits(somebody, "workbench")
    await somebody.click("Start this as a run")
    await somebody.sees("New run")
    assert "Name three rivers." in str(await somebody.value("document.querySelector('textarea').value"))
    await _fits(somebody, "new")
    await somebody.click("Check")
    await somebody.sees("settings are valid")
    await somebody.click("Engines")
    await somebody.sees("scripted")
    await _fits(somebody, "engines")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_a_person_finds_the_way_without_a_complaint(tmp_path: Path, width: int, dark: bool) -> None:
    make_run(tmp_path / "runs" / "first")
    make_run(tmp_path / "runs" / "half", 60, finished=False)
    state = ServiceState((str(tmp_path / "runs"),), SETTINGS, jobs=Recorder(), cache=str(tmp_path / "cache"))
    with served(application(state)) as url:
        assert asyncio.run(_walk(url, width, dark)) == []


async def _acts(url: str, jobs: Recorder) -> list[str]:
    async with person(1440, dark=False) as somebody:
        await somebody.open(url)
        await somebody.sees("no run lies here yet")
        await somebody.open(f"{url}/runs/nobody")
        await somebody.sees("cannot be shown")
        await somebody.click("Workbench")
        await somebody.click("Start this as a run")
        await somebody.click("Start run")
        await somebody.sees("waiting")
        await somebody.click("Stop")
        await somebody.click("Stop bench-")
        await somebody.gone("dialog")
        # that a run which is not there is answered with 404 is for the console to log
        return [said for said in somebody.complaints if "404" not in said]


def test_a_run_is_started_and_stopped_and_errors_are_told(tmp_path: Path) -> None:
    jobs = Recorder()
    (tmp_path / "runs").mkdir()
    state = ServiceState((str(tmp_path / "runs"),), SETTINGS, jobs=jobs, cache=str(tmp_path / "cache"))
    with served(application(state)) as url:
        assert asyncio.run(_acts(url, jobs)) == []
    assert [act for act, _ in jobs.asked] == ["start", "stop"]
