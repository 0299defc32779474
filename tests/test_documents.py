"""What documents name is there: files, links between them, and the version that the changelog is about."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for place in ("*.md", "docs/**/*.md", "examples/**/*.md", "docker/**/*.md", "tests/**/*.md")
    for path in ROOT.glob(place)
)
PROGRAMS = [
    f"/{path.relative_to(ROOT)}"
    for folder in (
        "evolve",
        "scoring",
        "ray_jobs",
        "slm_evolve_demo",
        "tests",
        "tools",
        "benchmarks",
        "examples",
        "docs",
        "requirements",
    )
    for path in (ROOT / folder).rglob("*.py")
]


@pytest.mark.parametrize("page", PAGES)
def test_programs_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"[\w/]+\.py\b", (ROOT / page).read_text(encoding="utf-8"))
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in PROGRAMS)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!\w+:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_changelog_is_about_the_version_that_is_worked_on() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert version.partition(".dev")[0] == heading[1]
