"""How pictures look: colours that people with any colour vision tell apart, sizes for two widths, PNG bytes.

The colours are those of Okabe and Ito, "Color Universal Design" (2008), without the yellow, which is too pale for
lines; ordered levels have matplotlib's cividis, which is made for the same purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from ray_jobs.report.blocks import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
INK, PALE = "#1f2933", "#d9dee4"
_SETTINGS: Any = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a94a0",
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": PALE,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "hatch.color": "white",
    "text.parse_math": False,  # names are shown as they are
}


@dataclass(frozen=True)
class Shape:
    """The width of a picture in inches, at 100 CSS pixels an inch, so that text is as large as the page's."""

    width: float
    dpi: int
    narrow: bool

    def columns(self, panels: int, maximum: int) -> int:
        """How many of `panels` stand side by side: one on a phone, `maximum` elsewhere."""
        return 1 if self.narrow else max(1, min(panels, maximum))


WIDE, NARROW = Shape(9.4, 150, narrow=False), Shape(3.5, 200, narrow=True)
Painter = Callable[[Shape], Drawing]


def colour(place: int) -> str:
    """The colour of the evolver at this place."""
    return COLOURS[place % len(COLOURS)]


def levels(count: int) -> list[str]:
    """Colours for ordered levels, from light to dark."""
    shades = mpl.colormaps["cividis_r"](np.linspace(0.08, 0.95, count))
    return [mpl.colors.to_hex(shade) for shade in shades]


def panels(shape: Shape, count: int, maximum: int, height: float, share_y: bool = False) -> tuple[Drawing, list[Axes]]:
    """A drawing with `count` panels of `height` inches, at most so many side by side, and the axes of each."""
    columns = shape.columns(count, maximum)
    rows = math.ceil(count / columns)
    drawing = Drawing(figsize=(shape.width, rows * height + 0.35), layout="constrained")
    axes = drawing.subplots(rows, columns, squeeze=False, sharey=share_y)
    flat = list(axes.flat)
    for unused in flat[count:]:
        unused.set_visible(False)
    return drawing, flat[:count]


def legend(drawing: Drawing, axes: Axes) -> None:
    """One legend for all panels, above them, in as many columns as its longest name leaves room for.

    The drawing grows by the legend's lines beyond the first, for which `panels` has left room.
    """
    handles, labels = axes.get_legend_handles_labels()
    inches = 0.65 + 0.085 * max(map(len, labels), default=0)
    columns = max(1, int(drawing.get_figwidth() / inches))
    drawing.set_figheight(drawing.get_figheight() + 0.21 * (math.ceil(len(labels) / columns) - 1))
    drawing.legend(handles, labels, loc="outside upper left", ncols=min(len(labels), columns))


def figure(name: str, alt: str, caption: str, paint: Painter) -> Figure:
    """The picture that `paint` draws, in both shapes."""
    with mpl.rc_context(_SETTINGS):
        wide, narrow = (png(paint(shape), shape) for shape in (WIDE, NARROW))
    return Figure(name, alt, caption, wide, narrow)


def png(drawing: Drawing, shape: Shape) -> bytes:
    """A drawing as PNG. The same drawing gives the same bytes."""
    drawing.set_dpi(shape.dpi)
    canvas: Any = FigureCanvasAgg(drawing)
    buffer = BytesIO()
    # not `savefig`, which lays a constrained figure out in a drawing of its own before it draws
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def shares_axis(axes: Axes, which: str = "y") -> None:
    """Percent on an axis whose values are shares."""
    formatter = mpl.ticker.PercentFormatter(1.0)
    (axes.yaxis if which == "y" else axes.xaxis).set_major_formatter(formatter)


def labelled(names: Sequence[str]) -> list[str]:
    """Names short enough for an axis."""
    return [name if len(name) <= 22 else f"{name[:21]}…" for name in names]
