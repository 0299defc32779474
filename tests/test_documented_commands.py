"""Each `evolve` command that a page shows is one that there is, with options that it takes.

docs/using_the_data.md is run as it stands: tests/ray_jobs/datasets/test_documented.py.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from ray_jobs.cli.app import app

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?:bash|sh|shell)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(evolve [^`\n]+)`")
COMMAND = re.compile(r"(?:^|[;&|(] *|&& )evolve (.+?)(?= *(?:&&|;|\||>|#|$))")


def shown() -> list[tuple[str, str]]:
    """Every command of README and docs, with its page; lines that end in a backslash go on."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        for line in (*lines, *INLINE.findall(text)):
            found += [(page.name, command) for command in COMMAND.findall(line.strip())]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), shown())
def test_a_command_is_one_that_there_is(page: str, command: str) -> None:
    words = shlex.split(command.replace("…", "").replace("...", ""))
    if not words or words[0].startswith("-"):
        return
    # typer carries a click of its own
    group: Any = typer.main.get_command(app)
    known = group.get_command(group.make_context("evolve", ["--help"], resilient_parsing=True), words[0])
    assert known is not None, f"there is no command {words[0]}"
    options = {name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
    assert used <= options | {"--help"}
