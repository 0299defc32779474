"""The sections that installed packages add to the page, each for an analysis of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ray_jobs.config.kinds import ANALYSES
from ray_jobs.config.registered import naming
from ray_jobs.report.blocks import Block, Figure, Section
from ray_jobs.report.view import View

PREFIX = "analysis-"
"""What the pictures of such a section begin with, so that the next report takes them away."""


def added_sections(view: View) -> Iterator[Section]:
    """A section of each finished analysis that a package adds and has one for. Raises ConfigError."""
    added = set(ANALYSES.names()) - ANALYSES.shipped.keys()
    for name in sorted(added & view.analyses.keys()):
        kind = ANALYSES.find(name)
        with naming(kind, name):
            section: Section | None = kind.section(view, view.analyses[name])  # type: ignore[attr-defined]
        if section:
            yield replace(section, blocks=[_named(block) for block in section.blocks])


def _named(block: Block) -> Block:
    return replace(block, name=f"{PREFIX}{block.name}") if isinstance(block, Figure) else block
