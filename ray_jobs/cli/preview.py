"""`evolve preview`: a few seeds through everything, with nothing written into the output."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.cli.apart import stderr_apart
from ray_jobs.cli.json_output import Json, json_errors, print_json
from ray_jobs.cli.options import Config, Overrides, Verbose
from ray_jobs.cli.terminal import remark, say
from ray_jobs.errors import ConfigError, EngineRefuses

if TYPE_CHECKING:
    from ray_jobs.service.preview import Previewed, Tried, Trier

app = typer.Typer()

EDITOR_VARIABLES = ("VISUAL", "EDITOR")


@app.command(epilog="Example: evolve preview run.yaml --rows 4 --edit evol_instruct/deepen")
def preview(
    config: Config,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="How many seeds to try.")] = 10,
    seed_file: Annotated[
        str | None,
        typer.Option(metavar="INPUT", help="Other seeds: a file, folder, glob or URL. How they are read is guessed."),
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option(metavar="TEMPLATE", help="First open a prompt, such as evol_instruct/deepen, in $EDITOR."),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use the warm engines of this service; the token is that of EVOLVE_TOKEN."),
    ] = None,
    settings: Overrides = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Try a few seeds: rounds, responses, scores, and what is rejected and why. The output is not touched."""
    if edit and as_json:
        raise typer.BadParameter("--json goes without --edit")
    with json_errors(as_json), stderr_apart(verbose):
        from ray_jobs.service.preview import outcomes, read

        what = read(config, settings or [], rows, seed_file)
        trier = _trier(what, service)
        if edit:
            _check_edit(trier)
            asyncio.run(_edited(what, trier, edit))
            return
        tried = asyncio.run(_once(trier))
    if as_json:
        print_json({"seeds": [asdict(item) for item in tried], "rounds": outcomes(tried)})
        return
    _show(tried)


def _trier(what: Previewed, service: str | None) -> Trier:
    from ray_jobs.service.client import ServiceClient
    from ray_jobs.service.preview import HereTrier, ServiceTrier

    if service:
        return ServiceTrier(what, ServiceClient(service))
    return HereTrier(what, lambda name: remark(f"loading {name}"))


def _check_edit(trier: Trier) -> None:
    from ray_jobs.service.preview import HereTrier

    if isinstance(trier, HereTrier) and not trier.stays_warm:
        raise ConfigError(
            "--edit: engines on cards stay loaded in a service only; `evolve serve` one, name it --service"
        )


async def _once(trier: Trier) -> list[Tried]:
    try:
        return await trier.tried(None)
    finally:
        await trier.close()


async def _edited(what: Previewed, trier: Trier, name: str) -> None:
    """Edit a template and try, until nobody wants to any more; a template that is wrong is told and edited again."""
    from ray_jobs.service.templates import own_copy

    file = own_copy(what.config.strategy, name)
    folder = file.parents[name.count("/")]
    try:
        while True:
            _open_editor(file)
            try:
                _show(await trier.tried(folder))
            except EngineRefuses:
                raise
            except ConfigError as error:
                if not sys.stdin.isatty():
                    raise
                remark(f"error: {error}")
            if not sys.stdin.isatty() or not typer.confirm("Edit it again?", default=True):
                break
    finally:
        await trier.close()
    say(f"{file}: what a run takes by --set strategy.templates={folder}")


def _open_editor(file: Path) -> None:
    command = next((os.environ[name] for name in EDITOR_VARIABLES if os.environ.get(name)), "vi")
    try:
        code = subprocess.run([*shlex.split(command), str(file)], stderr=sys.__stdout__, check=False).returncode
    except OSError as error:
        raise ConfigError(f"--edit: the editor {command} cannot be started: {error.strerror}") from None
    if code:
        raise ConfigError(f"--edit: the editor {command} has ended with {code}, nothing is tried")


def _show(tried: list[Tried]) -> None:
    from ray_jobs.cli.preview_table import print_outcomes, print_tried
    from ray_jobs.service.preview import outcomes

    print_tried(tried)
    print_outcomes(outcomes(tried))
