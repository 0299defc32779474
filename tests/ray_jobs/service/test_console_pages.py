"""The console, driven as a person would: no complaint in the log, nothing wider than the window, text stays text."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.ray_jobs.report.browser import needs_chromium
from tests.ray_jobs.service.person import Person, person
from tests.ray_jobs.service.served import HOSTILE, Recorder, make_run, served, whole_application
from tests.ray_jobs.service.warm import TOKEN

pytestmark = [pytest.mark.slow, needs_chromium]
LOOKS = [(1440, False), (1440, True), (390, False), (390, True)]
COMPARED = "/compare?a=first&b=first&a_evolver=small&b_evolver=large"
PAGES = {
    "runs": ("/", "half"),
    "run": ("/runs/first", "tokens/s of finished rows"),
    "records": (f"/records/first?outcome=kept&row={'0' * 32}-1", "response"),
    "workbench": ("/workbench", "start this as a run"),
    "new": ("/new", "settings are valid"),
    "compare": (COMPARED, "the same seeds on both sides"),
    "engines": ("/engines", "who asks"),
    "api": ("/api", "/v1/evolve"),
}


async def _fits(somebody: Person, name: str) -> None:
    assert await somebody.value("document.title") == "slm-evolve"
    assert await somebody.value("document.images.length") == 0
    assert await somebody.value("document.documentElement.scrollWidth <= innerWidth"), name
    # whatever can be used has a name
    nameless = "[...document.querySelectorAll('button, a, input, select, textarea')].filter(e => e.checkVisibility() && !(e.innerText.trim() || e.ariaLabel || e.labels?.length || e.title)).map(e => e.outerHTML)"  # noqa: E501
    assert await somebody.value(nameless) == [], name
    if folder := os.environ.get("CONSOLE_PICTURES"):
        width = await somebody.value("innerWidth")
        dark = await somebody.value("matchMedia('(prefers-color-scheme: dark)').matches")
        picture = Path(folder) / f"{name}-{width}-{'dark' if dark else 'light'}.png"
        picture.write_bytes(await somebody.picture())


async def _log_in(somebody: Person, url: str) -> None:
    await somebody.open(url)
    await somebody.sees("the service printed a token")
    await somebody.type("input[type=password]", "not the token at all")
    await somebody.press("Enter")
    await somebody.sees("was not taken")
    await somebody.type("input[type=password]", TOKEN)
    await somebody.press("Enter")
    await somebody.sees("new run")


async def _reads(somebody: Person) -> None:
    await somebody.finds("!!document.querySelector('.spark[aria-label^=\"IC-IFD by round\"]')")
    await somebody.click("first")
    await somebody.sees("from planned to kept")
    await somebody.sees("finished last")
    await somebody.sees("evolved")
    await somebody.click("refusal", "summary")
    await somebody.sees("all 9")
    await somebody.click("✓ kept", "a")
    await somebody.sees("65 records")
    await somebody.press("j")
    await somebody.sees("response")
    assert "onerror" in str(await somebody.value("document.body.innerText"))
    assert "outcome=kept" in str(await somebody.value("location.search"))
    await somebody.draw(".draw", 0.0, 0.5)
    await somebody.finds("location.search.includes('max_ic_ifd')")
    await somebody.finds("!document.body.innerText.includes('65 records')")
    await somebody.draw(".draw", 0.5, 0.5)
    await somebody.sees("65 records")
    await somebody.type("input[type=search]", "Explain step 12 ")
    await somebody.press("Enter")
    await somebody.sees("1 hits")
    await somebody.click("Explain step 12 ", "button")


async def _tries(somebody: Person) -> None:
    await somebody.click("try it on the workbench")
    await somebody.finds("document.querySelector('textarea')?.value.includes('Explain process')")
    await somebody.type("textarea", f"Explain tides.\n{HOSTILE}")
    await somebody.click("Try 2 seeds")
    await somebody.sees("4 of 4 done")
    await somebody.sees("ic-ifd 0.")
    assert await somebody.value("document.querySelectorAll('ins').length") > 0
    await somebody.choose("Prompt to edit", "evol_instruct/add_constraint")
    await somebody.type("textarea.code", "Add this: no placeholder")
    await somebody.sees("is missing")
    await somebody.sees("these settings would not run")
    await somebody.type("textarea.code", "Mention a lighthouse: {instruction}")
    await somebody.sees("what differs from the shipped one")
    await somebody.sees("no forecast: no run here has used")
    # once it is right the prompt is tried again by itself
    await somebody.finds(
        "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/v1/evolve')).length > 2"
    )
    await somebody.sees("4 of 4 done")
    await somebody.click("✓ Keep")
    await somebody.sees("1 approved")
    await somebody.reload()
    await somebody.sees("results stand here")
    await somebody.sees("1 approved")
    assert "lighthouse" in str(await somebody.value("localStorage.getItem('workbench')"))


async def _writes_settings(somebody: Person) -> None:
    await somebody.press("n")
    await somebody.sees("settings are valid")
    await somebody.type("textarea", "id: typed\nstrategy:\n  rounds: 0\n  elimin")
    await somebody.press("a")
    await somebody.sees("group or text")
    await somebody.press("Enter")
    await somebody.sees("line 3")
    assert "  elimination:" in str(await somebody.value("document.querySelector('textarea').value"))
    await somebody.type("textarea", "id: typed\nseeds:\n  - instruction: Explain tides.\n")
    await somebody.sees("settings are valid")
    await somebody.click("Start run")
    await somebody.click("Start typed")
    await somebody.sees("waiting")
    await somebody.click("Stop")
    await somebody.click("Stop typed")
    await somebody.gone("dialog")


async def _looks_up_a_route(somebody: Person) -> None:
    await somebody.press("a")
    await somebody.click("POST", "summary")
    await somebody.sees("EvolveRequest")
    await somebody.sees("Authorization: Bearer $TOKEN")


async def _walk(url: str) -> list[str]:
    async with person(1440, dark=False) as somebody:
        await _log_in(somebody, url)
        for act in (_reads, _tries, _writes_settings, _looks_up_a_route):
            await act(somebody)
        for name, (address, word) in PAGES.items():
            await somebody.open(url + address)
            await somebody.sees(word)
            for width, dark in LOOKS:
                await somebody.window(width, dark)
                await _fits(somebody, name)
        await somebody.open(f"{url}/runs/nobody")
        await somebody.sees("cannot be shown")
        await somebody.click("Log out")
        await somebody.sees("the service printed a token")
        # that somebody without a token is refused, and that a run is not there, is for the browser to log
        return [said for said in somebody.complaints if "401" not in said and "404" not in said]


def test_a_person_finds_the_way_in_every_look_without_a_complaint(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "first")
    make_run(tmp_path / "runs" / "half", 60, finished=False)
    jobs = Recorder()
    with served(whole_application(tmp_path / "runs", jobs, tmp_path / "cache")) as url:
        assert asyncio.run(_walk(url)) == []
    assert [act for act, _ in jobs.asked] == ["start", "stop"]
