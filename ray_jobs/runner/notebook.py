"""Progress in a notebook: a table that is drawn again in place, under the cell that runs."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable

from ray_jobs.pipeline.monitor import Snapshot
from ray_jobs.runner.progress import Display, PoolLine, Work, in_clock

DRAW_SECONDS = 1.0
"""A page is drawn again no oftener; each time its whole table goes to the browser."""
HEADINGS = ("pool", "", "rows", "in flight", "tokens/s", "not kept", "ETA", "state")


class NotebookDisplay(Display):
    """Shows the pools as an HTML table. `draw` takes it whole and puts it in the place of the one before."""

    def __init__(self, work: Work, draw: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(work, clock)
        self._draw, self._drawn = draw, -DRAW_SECONDS
        self._last = ""

    def observe(self, snapshot: Snapshot) -> None:
        """Draw all pools, when a second has gone by."""
        rows = "".join(_row(line) for line in self.lines(snapshot))
        head = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
        below = html.escape(f"{in_clock(self.elapsed)} {self.summary(snapshot)}")
        self._last = f"<table><tr>{head}</tr>{rows}</table><p>{below}</p>"
        if self.elapsed - self._drawn >= DRAW_SECONDS:
            self._drawn = self.elapsed
            self._draw(self._last)

    def close(self) -> None:
        """Leave the last state under the cell."""
        if self._last:
            self._draw(self._last)


def _row(line: PoolLine) -> str:
    bar = f'<progress value="{line.done}" max="{max(line.total, 1)}"></progress>'
    cells = (
        html.escape(line.name),
        bar,
        f"{line.done:,}/{line.total:,}",
        f"{line.in_flight:,}",
        f"{line.tokens_per_second:,.0f}",
        f"{line.not_kept:,}",
        in_clock(line.eta_seconds),
        html.escape(line.state),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def place_in_notebook() -> Callable[[str], None] | None:
    """What draws under the cell that is run; None where this process is no notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    return lambda text: handle.update(HTML(text))
