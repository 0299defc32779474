"""Puts the pages of the documentation's site together, for mkdocs to build: `make docs` does both.

    python tools/site_pages.py [FOLDER]      (build/site/pages by default)

The pages stand in the site where they stand in the repository, so that their links hold; files that they link to come
along, and a link to a folder leads to a list of what is in it. The reference is written anew by
tools/reference_pages.py.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tools.reference_pages import reference

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "site" / "pages"
WHERE = ("*.md", "docs/**/*.md", "examples/**/*.md", "docker/**/*.md")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#\s])")
LISTED = "index.md"
DECISIONS = Path("docs/decisions")


def pages_of_the_repository() -> list[Path]:
    """All documents, by their paths in the repository."""
    return sorted({path.relative_to(ROOT) for pattern in WHERE for path in ROOT.glob(pattern)})


def put_together(folder: Path) -> None:
    """Write all that the site is made of into `folder`, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in pages_of_the_repository():
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in _targets(page, text):
            _bring(target, folder)
        _write(folder / page, LINK.sub(partial(_led, page), text))
    _bring(DECISIONS, folder)
    reference(folder / "docs" / "reference")


def _targets(page: Path, text: str) -> Iterator[Path]:
    """What a page links to in the repository, beside pages."""
    for link in LINK.findall(text):
        target = (ROOT / page.parent / link).resolve()
        if target.is_relative_to(ROOT) and target.exists() and target.suffix != ".md":
            yield target.relative_to(ROOT)


def _bring(target: Path, folder: Path) -> None:
    """Copy a file that is linked to, or list a folder and copy its files."""
    if (ROOT / target).is_file():
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / target, folder / target)
        return
    files = sorted(path for path in (ROOT / target).iterdir() if path.is_file())
    for path in files:
        if path.suffix != ".md":
            _bring(path.relative_to(ROOT), folder)
    if not (ROOT / target / "README.md").exists():
        lines = [f"- [{path.name}]({path.name})" for path in files]
        _write(folder / target / LISTED, "\n".join([f"# {target.as_posix()}", "", *lines, ""]))


def _led(page: Path, found: re.Match[str]) -> str:
    """A link as the site has it: a folder's is one to its page."""
    link = found[1]
    target = ROOT / page.parent / link
    if not target.is_dir():
        return link
    return f"{link.rstrip('/')}/{'README.md' if (target / 'README.md').exists() else LISTED}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    put_together(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGES)
