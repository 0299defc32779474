"""The one way of texts to a terminal: what a terminal would obey is shown instead.

Seeds, replies of models and servers, names of files: any of them may hold an escape sequence that colours, moves or
hides what people read, or a mark that turns its direction. Tables and colours of our own go through rich.
"""

from __future__ import annotations

import logging
import re

import typer
from rich.console import Console

from evolve.masking import MaskedFormatter
from ray_jobs.output.printable import printable

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def say(text: object) -> None:
    """Print a line, or several, on standard output."""
    typer.echo(printable(str(text)))


def remark(text: object) -> None:
    """Print a line, or several, on standard error: how far a command is whose standard output is for programs."""
    typer.echo(printable(str(text)), err=True)


def complain(error: Exception) -> None:
    """Print an error's message on standard error."""
    typer.secho(f"error: {printable(str(error))}", err=True, fg="red")


def pass_on(text: str) -> None:
    """Print a piece of the log of a job, which Ray colours: its colours stay."""
    colours = _COLOUR.findall(text)
    plain = [printable(piece) for piece in _COLOUR.split(text)]
    typer.echo("".join(piece + colour for piece, colour in zip(plain, [*colours, ""], strict=True)), nl=False)


def log_handler() -> logging.Handler:
    """A handler that writes what is logged on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
    return handler


class Screen(Console):
    """Standard output for tables and panels, whose texts are data: no markup is read in them.

    Whoever reads it may stop at any line, as `head` does: that ends the command, and is no error.
    """

    def __init__(self) -> None:
        super().__init__(markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """End the command well."""
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(0) from None


class _PrintableFormatter(MaskedFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
