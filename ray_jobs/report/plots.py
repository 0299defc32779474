"""The pictures of the page, each from plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from ray_jobs.report.histogram import Floats, Histogram
from ray_jobs.report.style import HATCHES, LINES, Painter, Shape, colour, labelled, legend, levels, panels, shares_axis

Interval = tuple[str, float, float | None, float | None]
BARS = 44
"""The most bars of a distribution; few records have fewer, two more for each doubling."""


def distributions(groups: Mapping[str, Sequence[tuple[str, Histogram]]], axis: str, names: Sequence[str]) -> Painter:
    """One panel a title, in it one outline a name, and a mark below at each median. Histograms share one scale.

    All panels show the same range, from the 0.5th to the 99.5th percentile of everything. `names` are all that may
    occur, so that one has the same colour in every picture.
    """
    maximum = 4 if len(groups) == 4 else 3
    everything = [item for drawn in groups.values() for _, item in drawn]
    low, high = _range(everything)
    bars = min(BARS, 4 + 2 * max(item.n for item in everything).bit_length())

    def paint(shape: Shape) -> Drawing:
        drawing, axes = panels(shape, len(groups), maximum, 2.5, share_y=True)
        for ax, (title, drawn) in zip(axes, groups.items(), strict=True):
            for name, item in drawn:
                _outline(ax, item.density(low, high, bars), item.quantile(0.5), names.index(name), name)
            ax.set(title=title, xlabel=axis, xlim=(low, high))
            shares_axis(ax)
            ax.grid(axis="y")
        axes[0].set_ylim(0, 1.06 * max(ax.dataLim.y1 for ax in axes))
        for ax in axes[:: shape.columns(len(groups), maximum)]:
            ax.set_ylabel("share of records")
        if len(names) > 1:
            legend(drawing, _fullest(axes))
        return drawing

    return paint


def _fullest(axes: Sequence[Axes]) -> Axes:
    return max(axes, key=lambda ax: len(ax.get_legend_handles_labels()[1]))


def _range(histograms: Sequence[Histogram]) -> tuple[float, float]:
    bounds = [(histogram.quantile(0.005), histogram.quantile(0.995)) for histogram in histograms if histogram.n]
    low = min((low for low, _ in bounds if low is not None), default=0.0)
    high = max((high for _, high in bounds if high is not None), default=1.0)
    margin = max(0.02 * (high - low), histograms[0].scale.width if histograms else 0.01)
    return low - margin, high + margin


def _outline(ax: Axes, bars: tuple[Floats, Floats], median: float | None, place: int, name: str) -> None:
    edges, shares = bars
    if median is None:
        return
    ax.stairs(shares, edges, fill=True, color=colour(place), alpha=0.16)
    ax.stairs(shares, edges, color=colour(place), linestyle=LINES[place % len(LINES)], linewidth=1.6, label=name)
    ax.plot([median], [0], marker="^", markersize=8, color=colour(place), clip_on=False, zorder=5)


def funnel(stages: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Painter:
    """Horizontal bars: for each stage the records of each evolver that came so far."""

    def paint(shape: Shape) -> Drawing:
        drawing, (ax,) = panels(shape, 1, 1, 0.5 + len(stages) * (0.24 * len(counts) + 0.22))
        _side_by_side(ax, stages, counts, lambda value: f"{value:,.0f}")
        ax.set_xlabel("records")
        if len(counts) > 1:
            legend(drawing, ax)
        return drawing

    return paint


def shares(categories: Sequence[str], values: Mapping[str, Sequence[float]], axis: str) -> Painter:
    """Horizontal bars of shares by category, side by side for the evolvers; NaN for what there is not."""

    def paint(shape: Shape) -> Drawing:
        drawing, (ax,) = panels(shape, 1, 1, 0.5 + len(categories) * (0.24 * len(values) + 0.22))
        _side_by_side(ax, labelled(categories), values, lambda value: f"{value:.0%}")
        # below the whole picture: beside long names the axis is shorter than its label
        drawing.supxlabel(axis, fontsize="medium")
        ax.set_xlim(0, 1.08)
        shares_axis(ax, "x")
        ax.set_xticks(np.linspace(0, 1, 6 if not shape.narrow else 3))
        if len(values) > 1:
            legend(drawing, ax)
        return drawing

    return paint


def _side_by_side(
    ax: Axes, categories: Sequence[str], values: Mapping[str, Sequence[float]], text: Callable[[float], str]
) -> None:
    height = 0.8 / max(1, len(values))
    for index, (name, ones) in enumerate(values.items()):
        where = np.arange(len(categories)) + (index - (len(values) - 1) / 2) * height
        bars = ax.barh(where, ones, height * 0.92, color=colour(index), hatch=HATCHES[index % len(HATCHES)], label=name)
        ax.bar_label(bars, ["" if np.isnan(item) else text(item) for item in ones], padding=3, fontsize=8.5)
    ax.set_yticks(range(len(categories)), categories)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)


def stacked_levels(
    groups: Mapping[str, Mapping[str, Sequence[int]]], names: Sequence[str], maximum: int = 3, height: float = 0.55
) -> Painter:
    """One panel a title, in it one bar a row, split into ordered levels; each bar is 100 % of its records."""

    def paint(shape: Shape) -> Drawing:
        rows = max(len(bars) for bars in groups.values())
        # a share is written where its part of the bar is as wide as the text, 0.38 inches
        minimum = 0.38 / (shape.width / shape.columns(len(groups), maximum) - 1.2)
        drawing, axes = panels(shape, len(groups), maximum, 0.75 + height * rows)
        for ax, (title, bars) in zip(axes, groups.items(), strict=True):
            _stack(ax, bars, names, minimum)
            ax.set(title=title, xlim=(0, 1), xlabel="share of instructions")
            shares_axis(ax, "x")
        legend(drawing, axes[0])
        return drawing

    return paint


def _stack(ax: Axes, bars: Mapping[str, Sequence[int]], names: Sequence[str], minimum: float) -> None:
    labels = labelled(list(bars))
    counts = np.array([list(bar) for bar in bars.values()], dtype=np.float64)
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left = np.zeros(len(labels))
    for index, (name, shade) in enumerate(zip(names, levels(len(names)), strict=True)):
        drawn = ax.barh(labels, parts[:, index], left=left, color=shade, label=name, edgecolor="white", linewidth=0.7)
        texts = [f"{item:.0%}" if item >= minimum else "" for item in parts[:, index]]
        dark = index >= len(names) / 2
        ax.bar_label(drawn, texts, label_type="center", fontsize=8.5, color="white" if dark else "black")
        left += parts[:, index]
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)


def intervals(panel_rows: Mapping[tuple[str, str], Sequence[Interval]]) -> Painter:
    """One panel a title and unit, in it rows of (label, difference, low, high) around a line at 0, with intervals."""
    rows = max(len(panel_row) for panel_row in panel_rows.values())
    alike = len({tuple(label for label, *_ in panel_row) for panel_row in panel_rows.values()}) == 1

    def paint(shape: Shape) -> Drawing:
        maximum = 4 if alike else 3
        drawing, axes = panels(shape, len(panel_rows), maximum, 0.95 + 0.27 * rows, share_y=alike)
        for ax, ((title, unit), lines) in zip(axes, panel_rows.items(), strict=True):
            for index, (_, value, low, high) in enumerate(lines):
                clear = low is not None and high is not None and not low <= 0 <= high
                shade = colour(0 if value > 0 else 1) if clear else "#7b8794"
                if low is not None and high is not None:
                    ax.plot([low, high], [index, index], color=shade, linewidth=2.4, solid_capstyle="butt")
                ax.plot([value], [index], marker="o" if clear else "s", color=shade, markersize=6)
            ax.axvline(0, color="#52606d", linewidth=1)
            ax.set_yticks(range(len(lines)), labelled([label for label, *_ in lines]))
            ax.set(title=title, xlabel=unit, ylim=(len(lines) - 0.5, -0.5))
            ax.grid(axis="x")
            ax.locator_params(axis="x", nbins=4 if shape.narrow else 3)
        return drawing

    return paint


def stacked_amounts(bars: Mapping[str, Sequence[float]], names: Sequence[str], axis: str) -> Painter:
    """One horizontal bar a row, stacked of the amounts of `names`, with the whole at its end."""

    def paint(shape: Shape) -> Drawing:
        drawing, (ax,) = panels(shape, 1, 1, 0.7 + 0.42 * len(bars))
        labels, left = labelled(list(bars)), np.zeros(len(bars))
        amounts = np.array([list(bar) for bar in bars.values()], dtype=np.float64)
        for index, name in enumerate(names):
            drawn = ax.barh(
                labels,
                amounts[:, index],
                left=left,
                color=colour(index + 2),
                hatch=HATCHES[index],
                label=name,
                height=0.62,
            )
            left += amounts[:, index]
        ax.bar_label(drawn, [f"{item:,.0f}" for item in left], padding=4, fontsize=8.5)
        ax.set_xlabel(axis)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        legend(drawing, ax)
        return drawing

    return paint
