"""What commands print with --json: one document on standard output, for programs. See docs/operations.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ray_jobs.errors import JobError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead, an error too.")]


def print_json(value: Any) -> None:
    """Print a document: in ASCII, so that a terminal obeys nothing in it."""
    typer.echo(json.dumps(value, indent=1))


@contextmanager
def json_errors(wanted: bool) -> Iterator[None]:
    """With `wanted`, a known error ends the command as a document on standard output, with its own exit code."""
    try:
        yield
    except JobError as error:
        if not wanted:
            raise
        name = type(error).__name__
        print_json({"error": {"kind": name, "exit_code": error.exit_code, "message": str(error)}})
        raise typer.Exit(error.exit_code) from error
