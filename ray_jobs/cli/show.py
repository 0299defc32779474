"""What people see of an output on a terminal: a few rows side by side, and a finished run's report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from evolve.masking import mask_url
from ray_jobs.cli.terminal import Screen
from ray_jobs.datasets.opened import Output
from ray_jobs.datasets.shown import lines, title
from ray_jobs.errors import NothingUseful, OutputError
from ray_jobs.jobs.autoif import funnel
from ray_jobs.output import accept
from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.counts import CUT_SHARE
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.output.part_files import pieces
from ray_jobs.output.printable import printable, printable_values
from ray_jobs.output.schema import FAILED, KEPT, REJECTED
from ray_jobs.storage.store import Store

Record = dict[str, Any]
LOOKED_AT = 8192
"""Among so many records the one is looked for that is shown whole."""


def print_rows(store: Store, wanted: int, evolver: str | None) -> None:
    """Print `wanted` rows of the output, each with all its rounds. Raises OutputError where there are none."""
    console = Screen()
    for records in _first_rows(store, wanted, evolver):
        console.print(_panel(printable_values(records)))
    if not store.exists(SUCCESS):
        console.print("the run is not finished; this is some of what is committed so far", soft_wrap=True)


def rows_document(store: Store, wanted: int, evolver: str | None) -> dict[str, Any]:
    """What `print_rows` prints, for programs: each row as the list of its records. Raises as it does."""
    rows = [{"records": records} for records in _first_rows(store, wanted, evolver)]
    return {"finished": store.exists(SUCCESS), "rows": rows}


def print_record(store: Store, evolver: str | None) -> None:
    """Print a kept record with all its columns. Raises OutputError where there is none."""
    record, table = whole_record(store, evolver), Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines(record):
        table.add_row(name, value)
    Screen().print(Panel(table, title=title(record), title_align="left"))


def whole_record(store: Store, evolver: str | None) -> Record:
    """The first kept record among those of the most rounds, of one evolver or any. Raises OutputError for none."""
    records = (record for record in Output(store).records() if evolver is None or record["evolver"] == evolver)
    found = max(itertools.islice(records, LOOKED_AT), key=lambda record: int(record["round"]), default=None)
    if found is None:
        raise _nothing(store, "kept record", evolver)
    return found


def print_run(run: Callable[[], dict[str, Any]], output: str) -> None:
    """Print the report of what `run` runs, also where it has come to nothing. Raises what it raises."""
    try:
        report = run()
    except NothingUseful as error:
        print_report(error.report, output)
        raise
    print_report(report, output)


def print_report(report: dict[str, Any], output: str) -> None:
    """Print the counts and means of a finished run."""
    console, report = Screen(), printable_values(report)
    records = report["records"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    means_of = [f"mean {item.label}" for item in HEADLINES]
    for heading in ("evolver", "round", "kept", "rejected", "failed", *means_of, "cut answers"):
        table.add_column(heading, justify="left" if heading == "evolver" else "right")
    for group in report["groups"]:
        counts = [f"{group[status]:,}" for status in (KEPT, REJECTED, FAILED)]
        means = [_number(group.get(item.mean_name)) for item in HEADLINES]
        table.add_row(
            group["evolver"] or ("(pairs)" if group["kept"] else "(unreadable seeds)"),
            str(group["round"]),
            *counts,
            *means,
            percent(group.get(CUT_SHARE)),
        )
    console.print(table)
    for line in funnel.describe(report.get("funnel", [])):
        console.print(line, soft_wrap=True)
    examples = report.get("reason_examples", {})
    for reason, count in report["reasons"].items():
        example = examples.get(reason)
        console.print(f"  {count:,} {reason}" + (f", such as: {example}" if example else ""), soft_wrap=True)
    if report.get(CUT_SHARE):
        console.print(f"{percent(report[CUT_SHARE])} of the kept responses ran into their token limit (cut answers)")
    console.print(
        f"{records['planned']:,} records planned: {records['kept']:,} kept, {records['rejected']:,} rejected, "
        f"{records['failed']:,} failed" + ("" if report["reconciles"] else " - these do not add up")
    )
    console.print(printable(f"output: {mask_url(output)}"), soft_wrap=True)


def print_summary(entries: Sequence[dict[str, Any]], output: str) -> None:
    """Print the summary of an analysis, one line a group: its numbers, without those that are tables themselves."""
    console = Screen()
    for entry in printable_values(list(entries)):
        facts = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in _plain(entry).items())
        group = f"{entry['evolver'] or '(no evolver)'}, round {entry['round']}"
        console.print(f"{group}: {facts}", soft_wrap=True)
    console.print(printable(f"output: {mask_url(output)}"), soft_wrap=True)


def _plain(entry: dict[str, Any]) -> dict[str, str]:
    """The plain values of an entry, those with bounds as "0.5 (0.4 to 0.6)"."""
    plain = {}
    for name, value in entry.items():
        if name in ("evolver", "round") or isinstance(value, dict | list) or name.endswith(("_low", "_high")):
            continue
        low, high = entry.get(f"{name}_low"), entry.get(f"{name}_high")
        text = f"{value:,}" if isinstance(value, int) else _number(value) if isinstance(value, float) else value or "-"
        plain[name] = text if low is None or high is None else f"{text} ({_number(low)} to {_number(high)})"
    return plain


def _first_rows(store: Store, wanted: int, evolver: str | None) -> list[list[Record]]:
    found = list(itertools.islice(_rows(store, evolver), wanted))
    if not found:
        raise _nothing(store, "committed row", evolver)
    return found


def _nothing(store: Store, what: str, evolver: str | None) -> OutputError:
    of = f" of evolver {evolver}" if evolver else ""
    return OutputError(f"{store.url}: no {what}{of} to show")


def _rows(store: Store, evolver: str | None) -> Iterator[list[Record]]:
    """The records of each row, kept and rejected, by round; one part in memory at a time."""
    for entry in accept.load(store).parts:
        rows: dict[str, list[Record]] = {}
        for _, records_of_piece in pieces(store, entry):
            for record in records_of_piece.to_pylist():
                if evolver is None or record["evolver"] == evolver:
                    rows.setdefault(record["row_id"], []).append(record)
        for records in rows.values():
            yield sorted(records, key=lambda record: int(record["round"]))


def _panel(records: list[Record]) -> Panel:
    first = records[0]
    body = Text.assemble(("seed  ", "bold"), first["seed_instruction"], "\n")
    if first["input"]:
        body.append_text(Text.assemble(("input  ", "bold"), first["input"], "\n"))
    for record in records:
        body.append_text(_round(record))
    if first["evolver"]:
        title = f"{first['evolver']}: {first['evolver_model']}"
    else:
        title = "(unreadable seed)" if first.get("stage") == "read" else "(pair of the dataset)"
    return Panel(body, title=title, title_align="left")


def _round(record: Record) -> Text:
    operator = record["operator"] or "no operator"
    heading = f"\nround {record['round']}, {operator}  " if record["round"] else "\nas it is  "
    if status := record.get("status"):
        why = f"{status} at {record['stage']}: {record['reason']} {record['error'] or ''}".rstrip()
        return Text.assemble((heading, "bold red"), f"{why}\n", (record["instruction"] or "", "dim"), "\n")
    scores = [f"{item.label} {_number(record.get(item.name))}" for item in HEADLINES]
    return Text.assemble(
        (heading, "bold cyan"),
        record["instruction"],
        "\n",
        ("response  ", "bold"),
        f"{record['output']}\n",
        ("  ".join([*scores, record["score_note"] or ""]).rstrip(), "dim"),
        "\n",
    )


def percent(share: float | None) -> str:
    """A share as people read it; "-" where it is not known."""
    return "-" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
