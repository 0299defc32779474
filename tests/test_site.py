"""The site: its pages are put together so that no link is lost; its forecasts are what `evolve plan` says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import sizing_docs
from tools.site_pages import pages_of_the_repository, put_together

ROOT = Path(__file__).parents[1]
SITE: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
BESIDE = ("docs/decisions/", "docker/")
"""Pages that others link to, and the navigation does not name."""


def named(part: Any) -> Iterator[str]:
    """The pages that the navigation names."""
    if isinstance(part, str):
        yield part
    for item in part if isinstance(part, list) else part.values() if isinstance(part, dict) else ():
        yield from named(item)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as mkdocs gets them."""
    folder = tmp_path_factory.mktemp("site")
    put_together(folder)
    return folder


def test_the_navigation_names_every_page_and_no_other(pages: Path) -> None:
    navigation = set(named(SITE["nav"]))
    assert [page for page in sorted(navigation) if not (pages / page).is_file()] == []
    written = {page.as_posix() for page in pages_of_the_repository()}
    assert [page for page in sorted(written - navigation) if not page.startswith(BESIDE)] == []


def test_every_link_leads_to_a_file_of_the_site(pages: Path) -> None:
    lost = [
        (page.relative_to(pages).as_posix(), link)
        for page in pages.rglob("*.md")
        for link in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).is_file()
    ]
    assert lost == []


def test_the_reference_has_all_fields_with_their_defaults_and_all_options(pages: Path) -> None:
    reference = pages / "docs" / "reference"
    run = (reference / "run.md").read_text()
    assert "| `output` | string | needed |" in run
    assert "| `rounds` | integer (≥ 1, ≤ 100) | `1` |" in run
    assert "| `evolvers` | a mapping: [EvolverConfig](#evolverconfig) | needed |" in run
    links = set(re.findall(r"\]\(#([a-z0-9]+)\)", run))
    assert links <= {heading.lower() for heading in re.findall(r"^## (\w+)$", run, re.MULTILINE)}
    commands = (reference / "commands.md").read_text()
    assert "## evolve tokens add" in commands
    assert "| `--record` | Instead one kept record, with all its columns. |" in commands


def test_what_it_is_built_with_is_pinned_and_fetches_nothing() -> None:
    lines = (ROOT / "requirements" / "docs.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert SITE["theme"]["font"] is False
    # offline has its pages fetch a script
    assert SITE["plugins"] == ["search"]


def test_the_forecasts_are_those_of_the_plan() -> None:
    assert sizing_docs.PAGE.read_text(encoding="utf-8") == sizing_docs.page(), (
        "`python tools/sizing_docs.py` writes them"
    )
