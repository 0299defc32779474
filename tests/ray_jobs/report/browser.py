"""A headless Chromium, driven over its DevTools protocol: what a page looks like and what its console says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true",
    reason="no Chromium here: `apt install chromium` (CI installs it, and fails without)",
)
LEFT = -32000
_PORT_FILE = "DevToolsActivePort"
_QUESTION = """(() => ({
  width: document.documentElement.scrollWidth,
  height: document.documentElement.scrollHeight,
  images: [...document.images].map(one => [one.complete && one.naturalWidth > 0, one.alt, one.currentSrc.length]),
  links: [...document.querySelectorAll('nav a')].map(one => !!document.querySelector(one.getAttribute('href'))),
  scripts: document.scripts.length,
  small: [...document.querySelectorAll('body *')].filter(
    one => one.innerText && parseFloat(getComputedStyle(one).fontSize) < 12).length,
}))()"""


@dataclass
class Seen:
    """A page at one width: what its elements say, what the console says, and a picture of all of it."""

    facts: dict[str, Any]
    messages: list[str] = field(default_factory=list)
    png: bytes = b""


def look(page: Path, width: int, dark: bool = False) -> Seen:
    """Open a local page in a window `width` CSS pixels wide. Needs CHROMIUM."""
    return asyncio.run(_look(page, width, dark))


async def _look(page: Path, width: int, dark: bool) -> Seen:
    async with session() as opened:
        messages: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            await opened.call(f"{domain}.enable")
        await opened.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        await _resize(opened, width, 900)
        await opened.call("Page.navigate", url=page.resolve().as_uri())
        await opened.until("Page.loadEventFired")
        facts = (await opened.call("Runtime.evaluate", expression=_QUESTION, returnByValue=True))["result"]["value"]
        await _resize(opened, width, min(int(facts["height"]), 16000))
        shot = await opened.call("Page.captureScreenshot", format="png")
        for event in opened.events:
            if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
                messages.append(json.dumps(event["params"]))
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    messages.append(f"asked for {url}")
        return Seen(facts, messages, base64.b64decode(shot["data"]))


async def _resize(opened: Session, width: int, height: int) -> None:
    await opened.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
    )


class PageLeft(AssertionError):
    """A page went away while it was asked something."""


class Session:
    """A page that is driven: calls go out, and what it tells of itself gathers in `events`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._socket, self._calls = socket, 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == self._calls:
                if message.get("error", {}).get("code") == LEFT:
                    raise PageLeft(message)
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    async def until(self, method: str) -> None:
        while not any(event["method"] == method for event in self.events):
            self.events.append(await self._socket.receive_json(timeout=60))


@asynccontextmanager
async def session() -> AsyncIterator[Session]:
    """A Chromium of its own, with one empty page."""
    assert CHROMIUM, "expected Chromium on the PATH; .ci/run installs Debian's"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        command += ["--hide-scrollbars", "--no-first-run", f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = await _port(Path(folder) / _PORT_FILE)
            async with aiohttp.ClientSession() as client:
                async with client.get(f"http://127.0.0.1:{port}/json") as reply:
                    targets = [item for item in await reply.json() if item["type"] == "page"]
                async with client.ws_connect(targets[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    yield Session(socket)
        finally:
            process.terminate()
            process.wait(30)


async def _port(path: Path) -> int:
    for _ in range(600):
        if path.exists() and (lines := path.read_text().split()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{path}: Chromium did not start")
