"""Takes the pictures of the console in docs/, of records that are made up and of scripted engines. Needs Chromium.

    PYTHONPATH=. python tools/console_pictures.py

To be run by whoever changes how a page looks.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.ray_jobs.service.person import Person, person
from tests.ray_jobs.service.served import Recorder, make_run, served, whole_application
from tests.ray_jobs.service.warm import TOKEN

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
RUN, RECORDS = "alpaca-3-rounds", 900
SEEDS = [
    "Explain why the sky is blue.",
    "Name three rivers and where they end.",
    "Write a function that reverses a list.",
]
PROMPT = "evol_instruct/deepen"
COLOURS = 256


async def _keep(somebody: Person, name: str, width: int, height: int, dark: bool = False) -> None:
    await somebody.window(width, dark, height)
    # colours change over a tenth of a second, and text is set again
    await somebody.value("new Promise(done => setTimeout(done, 500))")
    picture = Image.open(io.BytesIO(await somebody.picture())).convert("RGB")
    picture.quantize(COLOURS).save(PICTURES / f"console_{name}.png", optimize=True)


async def _walk(url: str) -> None:
    async with person(1440, dark=False) as somebody:
        await somebody.open(url)
        await somebody.type("input[type=password]", TOKEN)
        await somebody.press("Enter")
        await somebody.click(RUN)
        await somebody.sees("finished last")
        await _keep(somebody, "run", 1440, 1180)

        await somebody.press("w")
        await somebody.type("textarea", "\n".join(SEEDS))
        await somebody.choose("Prompt to edit", PROMPT)
        await somebody.finds("!!document.querySelector('textarea.code')")
        shipped = str(await somebody.value("document.querySelector('textarea.code').value"))
        await somebody.type("textarea.code", f"The harder version names at least one place.\n{shipped}")
        await somebody.click(f"Try {len(SEEDS)} seeds")
        await somebody.sees(f"{2 * len(SEEDS)} of {2 * len(SEEDS)} done")
        await somebody.click("✓ Keep")
        await somebody.value("scrollTo(0, 0), document.querySelector('textarea.code').scrollTo(0, 0)")
        await _keep(somebody, "workbench", 1440, 1120)

        await somebody.open(f"{url}/records/{RUN}?outcome=kept&min_ic_ifd=0.3")
        await somebody.sees("records of")
        await somebody.finds("!!document.querySelector('.chosen')")
        for _ in range(6):
            await somebody.press("j")
        await somebody.sees("round 3")
        await _keep(somebody, "records", 1440, 900, dark=True)


def main() -> None:
    """Take all three."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        make_run(runs / RUN, RECORDS)
        with served(whole_application(runs, Recorder(), Path(folder) / "cache")) as url:
            asyncio.run(_walk(url))


if __name__ == "__main__":
    main()
