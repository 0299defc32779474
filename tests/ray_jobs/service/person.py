"""A person at a page: opens, clicks, types, presses keys, looks; over Chromium's DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.ray_jobs.report.browser import PageLeft, Session, session

WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.05


class Person:
    """One page in one window. What the console says is in `complaints`; nothing is waited for beyond `patience`."""

    def __init__(self, page: Session) -> None:
        self._page = page
        self.patience = WAIT_SECONDS

    async def window(self, width: int, dark: bool, height: int = 900) -> None:
        """A window so wide and high, in light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._page.call("Emulation.setEmulatedMedia", features=[scheme])
        await self._page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self._page.call("Page.navigate", url=url)

    async def reload(self) -> None:
        """Load the page anew."""
        await self._page.call("Page.reload")

    async def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = await self._page.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def sees(self, text: str) -> None:
        """Wait until a text is in sight, in whatever case."""
        await self.finds(f"(document.body?.innerText ?? '').toLowerCase().includes({json.dumps(text.lower())})")

    async def finds(self, expression: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + self.patience
        while not await self._is(expression):
            assert time.monotonic() < deadline, f"never {expression}: {await self.value('document.body.innerText')}"
            # not a timer of the page's: one in which no scripts may run has none
            await asyncio.sleep(LOOK_SECONDS)

    async def _is(self, expression: str) -> bool:
        """Whether something is so on the page that is there now."""
        try:
            return bool(await self.value(expression))
        except PageLeft:
            return False

    async def gone(self, selector: str) -> None:
        """Wait until there is no such element."""
        await self.finds(f"!document.querySelector({json.dumps(selector)})")

    async def click(self, text: str, within: str = "button, a, label, summary") -> None:
        """Click on the first thing that is called so, with the mouse."""
        find = f"[...document.querySelectorAll({json.dumps(within)})].find(e => e.innerText.trim().startsWith({json.dumps(text)}) && e.offsetParent)"  # noqa: E501
        deadline = time.monotonic() + self.patience
        while not await self.value(f"!!{find} && !{find}.disabled"):
            assert time.monotonic() < deadline, f"nothing to click called {text}"
            await asyncio.sleep(LOOK_SECONDS)
        look = (
            f"(() => {{ const e = {find}; e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        before, spot = None, await self.value(look)
        while spot != before:  # nobody clicks on what moves
            await asyncio.sleep(LOOK_SECONDS)
            before, spot = spot, await self.value(look)
        for kind in ("mousePressed", "mouseReleased"):
            await self._page.call(
                "Input.dispatchMouseEvent", type=kind, x=spot[0], y=spot[1], button="left", clickCount=1
            )

    async def draw(self, selector: str, start: float, end: float) -> None:
        """Draw over a thing with the mouse, between these shares of its width, once it is there."""
        find = f"document.querySelector({json.dumps(selector)})"
        await self.finds(f"!!{find}")
        look = (
            f"(() => {{ {find}.scrollIntoView({{block: 'center'}}); const b = {find}.getBoundingClientRect();"
            " return [b.x, b.y + b.height / 2, b.width]; })()"
        )
        before, box = None, await self.value(look)
        while box != before:
            await asyncio.sleep(LOOK_SECONDS)
            before, box = box, await self.value(look)
        for kind, share in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            x = box[0] + share * box[2]
            await self._page.call("Input.dispatchMouseEvent", type=kind, x=x, y=box[1], button="left", clickCount=1)

    async def type(self, selector: str, text: str) -> None:
        """Replace what is in a field, once it is there."""
        field, deadline = f"document.querySelector({json.dumps(selector)})", time.monotonic() + self.patience
        while not await self.value(f"!!{field}"):
            assert time.monotonic() < deadline, f"no field {selector}"
            await asyncio.sleep(LOOK_SECONDS)
        await self.value(f"{field}.focus(), {field}.select()")
        await self._page.call("Input.insertText", text=text)

    async def choose(self, label: str, value: str) -> None:
        """Choose one of a list's values, once it has that, by the list's label."""
        wanted = f"{json.dumps(f'select[aria-label={json.dumps(label)}]')}"
        field, deadline = f"document.querySelector({wanted})", time.monotonic() + self.patience
        while not await self.value(f"[...({field}?.options ?? [])].some(o => o.value === {json.dumps(value)})"):
            assert time.monotonic() < deadline, f"no {value} in {label}"
            await asyncio.sleep(LOOK_SECONDS)
        change = "dispatchEvent(new Event('change', {bubbles: true}))"
        await self.value(f"{field}.focus(), {field}.value = {json.dumps(value)}, {field}.{change}")

    async def press(self, key: str) -> None:
        """Press a key."""
        text = {"Enter": "\r"}.get(key, key)
        await self._page.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self._page.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        """What is in the window, as PNG."""
        return base64.b64decode((await self._page.call("Page.captureScreenshot", format="png"))["data"])

    @property
    def complaints(self) -> list[str]:
        """What the console said, exceptions, and requests that went anywhere but to where the page is from."""
        said = []
        for event in self._page.events:
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                said.append(json.dumps(event["params"]))
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(("http://127.0.0.1:", "data:")):
                    said.append(f"asked for {url}")
        return said


@asynccontextmanager
async def person(width: int, dark: bool) -> AsyncIterator[Person]:
    """Somebody with a window so wide."""
    async with session() as page:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.call(f"{domain}.enable")
        somebody = Person(page)
        await somebody.window(width, dark)
        yield somebody
