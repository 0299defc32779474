"""Where benchmarks put their results: each owns one section of docs/benchmarks.md, which it replaces."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def publish(name: str, text: str) -> None:
    """Print `text` and make it the section `name` of docs/benchmarks.md, with the command, date and machine."""
    command = " ".join(["python", *sys.argv])
    machine = f"{os.cpu_count()} logical CPUs, {platform.machine()}, Python {platform.python_version()}"
    section = f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {machine}\n\n{text}"
    print(section)
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    page = PAGE.read_text(encoding="utf-8")
    if start not in page:
        raise SystemExit(f"{PAGE}: expected the line {start.strip()}, where the table goes")
    before, rest = page.split(start, 1)
    _, after = rest.split(end, 1)
    PAGE.write_text(f"{before}{start}{section}\n{end}{after}", encoding="utf-8")
