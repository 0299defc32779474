"""`evolve clean`: away with what nothing in an output needs."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_jobs.cli.confirm import confirm
from ray_jobs.cli.json_output import Json, json_errors, print_json
from ray_jobs.cli.options import Storage, Target
from ray_jobs.cli.terminal import say
from ray_jobs.errors import ConfigError

app = typer.Typer()


@app.command(epilog="Example: evolve clean s3://bucket/run --yes")
def clean(
    output: Target,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Remove what nothing in an output needs: leftovers of runs that were killed, journal files of rows that are done.

    What it takes is shown first. Records, plan, leases, reports and files of others stay.
    """
    with json_errors(as_json):
        from ray_jobs.config.load import parse_storage
        from ray_jobs.jobs.clean import clean as take_away
        from ray_jobs.jobs.clean import unneeded
        from ray_jobs.storage.store import open_store

        removals = unneeded(open_store(output, parse_storage(storage)))
        if removals and as_json and not yes:
            raise ConfigError("clean: --json goes with --yes where there is something to remove")
        if removals and not as_json:
            confirm("clean", yes, "\n".join(map(str, removals)))
        for removal in removals:
            take_away(removal)
    files = [file for removal in removals for file in removal.files]
    if as_json:
        print_json({"files": len(files), "bytes": sum(size for _, size in files)})
        return
    say(f"{output}: {len(files):,} files removed" if files else f"{output}: nothing that is not needed")
