"""What commands print with --json: one document on standard output, for programs. See docs/operations.md."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer

from ray_jobs.cli.terminal import remark, say
from ray_jobs.config.wrong_fields import wrong_fields
from ray_jobs.errors import JobError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead, an error too.")]


def print_json(value: Any) -> None:
    """Print a document: in ASCII, so that a terminal obeys nothing in it.

    A number that is none is null, a time is as in ISO 8601.
    """
    typer.echo(json.dumps(_plain(value), indent=1, allow_nan=False))


def progress(as_json: bool) -> Callable[[object], None]:
    """How a command says how far it is: on standard error where standard output is for one document."""
    return remark if as_json else say


@contextmanager
def json_errors(wanted: bool) -> Iterator[None]:
    """With `wanted`, a known error ends the command as a document on standard output, with its own exit code."""
    try:
        yield
    except JobError as error:
        if not wanted:
            raise
        print_json({"error": told_error(error)})
        raise typer.Exit(error.exit_code) from error


def told_error(error: JobError) -> dict[str, Any]:
    """What a program is told of an error; `field` is the first of its wrong `fields`, or null."""
    fields = wrong_fields(error)
    return {
        "kind": type(error).__name__,
        "exit_code": error.exit_code,
        "message": str(error),
        "field": fields[0]["field"] if fields else None,
        "fields": fields,
    }


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
