"""Draws the counts behind Figure 2 of arXiv 2412.11231 with the report's own code, into paper_figure2.png beside it.

    python docs/pictures/paper_figure2.py published_figures.json

The file has the counts under "Fig2_counts_from_repo_plot_bar.py": for each dataset and round, of both evolvers, how
many instructions have each of five difficulty levels.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_jobs.report.plots import stacked_levels
from ray_jobs.report.style import figure

COUNTS, LEVELS = "Fig2_counts_from_repo_plot_bar.py", "Fig2_counts_order"
DATASETS = {"Alpaca": "Alpaca", "GSM8K": "GSM8K train", "Code": "Code Alpaca"}
EVOLVERS = {"SLM": "8B", "LLM": "70B"}


def draw(published: Mapping[str, Any]) -> bytes:
    """The picture as PNG: a panel a dataset, in it a bar for each round and evolver."""
    counts = published[COUNTS]
    groups = {
        title: {
            f"round {number} · {size}": counts[f"{dataset}{number}"][name]
            for number in (1, 2, 3)
            for name, size in EVOLVERS.items()
        }
        for dataset, title in DATASETS.items()
    }
    return figure("figure2", "", "", stacked_levels(groups, published[LEVELS], height=0.4)).wide


if __name__ == "__main__":
    picture = Path(__file__).with_suffix(".png")
    picture.write_bytes(draw(json.loads(Path(sys.argv[1]).read_text())))
    print(picture)
