"""`evolve schema`: what a configuration may hold, for editors."""

from __future__ import annotations

import json
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="Example: evolve schema run > run.schema.json")
def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="run, autoif, score, respond, analysis, finish or search; by default all by name."
        ),
    ] = None,
) -> None:
    """Print the JSON schema of a kind of configuration, by which editors complete and check YAML."""
    from ray_jobs.jobs import schemas

    found = {name: schemas.schema(name) for name in schemas.KINDS} if kind is None else schemas.schema(kind)
    # as it is: no line of it is to be broken, or coloured
    typer.echo(json.dumps(found, indent=1))
