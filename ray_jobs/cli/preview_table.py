"""What became of tried seeds, on a terminal: a panel a seed, its evolvers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ray_jobs.cli.terminal import Screen
from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.printable import printable, printable_values
from ray_jobs.output.schema import KEPT

if TYPE_CHECKING:
    from ray_jobs.service.preview import Tried

GOOD, LOST = "bold cyan", "bold red"


def print_tried(tried: Sequence[Tried]) -> None:
    """Print each seed with what each evolver made of it."""
    screen = Screen()
    for number, item in enumerate(tried, 1):
        seed = Text.assemble(("seed  ", "bold"), printable(item.instruction))
        if item.input:
            seed.append_text(Text.assemble(("\ninput  ", "bold"), printable(item.input)))
        results = printable_values(list(item.results))
        side_by_side = Table(box=None, expand=True, pad_edge=False, show_header=False)
        for _ in results:
            side_by_side.add_column(ratio=1, overflow="fold")
        side_by_side.add_row(*(_result(result) for result in results))
        grid = Table.grid(expand=True)
        grid.add_row(seed)
        grid.add_row("")
        grid.add_row(side_by_side)
        screen.print(Panel(grid, title=f"{number}", title_align="left"))


def print_outcomes(outcomes: Mapping[str, Mapping[str, int]]) -> None:
    """Print of each evolver how many rounds were kept, and how the others ended."""
    screen = Screen()
    for name, counts in outcomes.items():
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items(), key=lambda pair: -pair[1]))
        screen.print(printable(f"{name}: {told or 'nothing'}"), soft_wrap=True)


def _result(result: Mapping[str, Any]) -> Text:
    text = Text.assemble((result["evolver"], "bold underline"), "\n")
    for item in result["rounds"]:
        text.append_text(_round(item))
    if result["response"]:
        text.append_text(Text.assemble(("\nresponse  ", "bold"), result["response"], "\n"))
    last = result["rounds"][-1]["outcome"] if result["rounds"] else KEPT
    if result["outcome"] not in (KEPT, last):
        text.append(f"\nresponse {result['outcome']}: {result['reason']}\n", LOST)
    scores = result["scores"]
    if scores:
        shown = [f"{item.label} {scores[item.name]:.4f}" for item in HEADLINES if scores.get(item.name) is not None]
        text.append("  ".join([*shown, scores.get("score_note") or ""]).rstrip(), "dim")
    return text


def _round(item: Mapping[str, Any]) -> Text:
    heading = f"\nround {item['round']}, {item['operator'] or 'no operator'}  "
    if item["outcome"] == KEPT:
        return Text.assemble((heading, GOOD), item["instruction"], "\n")
    why = f"{item['outcome']}: {item['reason']} {item['error'] or ''}".rstrip()
    return Text.assemble((heading, LOST), f"{why}\n", (item["instruction"] or "", "dim"), "\n")
