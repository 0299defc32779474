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
            metavar="KIND",
            help="run, serve, autoif, score, respond, analysis, finish or search; by default all by name.",
        ),
    ] = None,
) -> None:
    """Print the JSON schema of a kind of configuration, by which editors complete and check YAML."""
    from ray_jobs.jobs.schemas import schema as schema_of
    from ray_jobs.service.schemas import KINDS

    found = {name: schema_of(name, KINDS) for name in KINDS} if kind is None else schema_of(kind, KINDS)
    # as it is: no line of it is to be broken, or coloured
    typer.echo(json.dumps(found, indent=1))
