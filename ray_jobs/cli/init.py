"""`evolve init`: a first configuration for one's own seeds, models and cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.cli.terminal import say
from ray_jobs.errors import ConfigError

if TYPE_CHECKING:
    from ray_jobs.seeds.guess import Guess

app = typer.Typer()

SHOWN = 200
"""So many characters of a sample are shown."""


@app.command(epilog="Example: evolve init --from alpaca.json --gpus 8 --model Qwen/Qwen2.5-7B-Instruct")
def init(
    seeds: Annotated[
        str | None, typer.Option("--from", metavar="INPUT", help="The seeds: file, folder, glob or URL.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="An evolver's folder or name on the Hub; repeatable. The last one answers."),
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="The cards there are; with 0 engines run on CPUs.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of evolution.")] = 3,
    output: Annotated[str, typer.Option(help="Where the run is to write: a folder or any fsspec URL.")] = "out/first",
    to: Annotated[Path, typer.Option(metavar="FILE", help="The configuration to write; never one that exists.")] = Path(
        "run.yaml"
    ),
) -> None:
    """Write a commented configuration: how the seeds are read is guessed, and pools are sized to the cards."""
    from ray_jobs.cli.first_config import local_models, write_config
    from ray_jobs.seeds.guess import guess

    if to.exists():
        raise ConfigError(f"--to {to}: exists already, and is not written over")
    found = guess(seeds or typer.prompt("Seeds (file, folder, glob or URL)"))
    _show(found)
    models = model or local_models(Path(".cache/models")) or [typer.prompt("Model (a folder, or a name on the Hub)")]
    write_config(to, found.source, models, gpus, rounds, output)
    say(f"{to}: written; evolve validate {to} checks it, evolve run {to} begins")


def _show(found: Guess) -> None:
    say(f"seeds: layout {found.source.layout}, columns {dict(found.source.columns) or 'as they are named'}")
    for number, seed in enumerate(found.samples, 1):
        # a sample is one line, whatever it holds
        text = " ".join(f"{seed.instruction} {seed.input}".split())
        say(f"  {number}. {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}")
