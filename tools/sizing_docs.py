"""Writes the table of forecasts in docs/sizing.md: what `evolve plan` says of the configurations in examples/sizing.

    python tools/sizing_docs.py

A test keeps them equal, so whoever changes the forecast or these configurations runs this.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ray_jobs.config.run import RunConfig
from ray_jobs.forecast.plan import Question, forecast_run
from ray_jobs.jobs.load import load_config
from ray_jobs.runner.progress import in_clock
from tools.column_docs import lines_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "sizing.md"
EXAMPLES = ROOT / "examples" / "sizing"
BEGIN, END = "<!-- forecasts: begin -->", "<!-- forecasts: end -->"
HEADINGS = ("configuration", "cards", "rows", "tokens", "time", "GPU-hours", "cost", "waits for")


def rows() -> Iterator[tuple[str, ...]]:
    """One line a configuration."""
    for name in ("small", "large", "both"):
        with tempfile.TemporaryDirectory() as output:
            seeds = f"seeds.path={ROOT / 'examples' / 'seeds.jsonl'}"
            run = load_config(EXAMPLES / f"{name}.yaml", [seeds], output)
            assert isinstance(run, RunConfig)
            answer = forecast_run(run, Question(rates=EXAMPLES / "rates.yaml"), False, lambda _: None)
        found = answer.forecast
        assert found is not None
        cards = found.gpu_hours * 3600 / found.seconds
        yield (
            f"`{name}.yaml`",
            f"{cards:.0f}",
            f"{found.rows:,}",
            f"{found.tokens / 1e6:,.0f} M",
            in_clock(found.seconds),
            f"{found.gpu_hours:,.1f}",
            f"{found.cost:,.0f}",
            f"`{found.bottleneck}`",
        )


def page() -> str:
    """The page with its table as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = lines_of([HEADINGS, ("---",) * len(HEADINGS), *rows()])
    return "\n".join([f"{before}{BEGIN}", *table, f"{END}{after}"])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
