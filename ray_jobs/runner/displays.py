"""Which display a run has: a notebook's, a terminal's or a log's."""

from __future__ import annotations

import sys

from rich.console import Console

from ray_jobs.runner.notebook import NotebookDisplay, place_in_notebook
from ray_jobs.runner.progress import Display, LineDisplay, LiveDisplay, Work


def make_display(work: Work) -> Display:
    """A table under a notebook's cell, bars where standard output is a terminal, lines elsewhere."""
    if draw := place_in_notebook():
        return NotebookDisplay(work, draw)
    return LiveDisplay(work, Console()) if sys.stdout.isatty() else LineDisplay(work)
