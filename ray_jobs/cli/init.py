"""`evolve init`: a first configuration for one's own seeds, models and cards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.cli.json_output import Json, json_errors, print_json
from ray_jobs.cli.terminal import remark, say
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
    demo: Annotated[
        bool, typer.Option("--demo", help="Instead write the demo: seeds, configuration and two models, all small.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a commented configuration: how the seeds are read is guessed, and pools are sized to the cards."""
    if demo:
        if seeds or model or gpus:
            raise typer.BadParameter("--demo goes without --from, --model and --gpus")
        with json_errors(as_json):
            models = make_demo(to)
        if as_json:
            print_json({"config": str(to), "models": models})
            return
        say(f"{to}: written; evolve run {to} begins, evolve show {to.parent / 'out'} shows what came out")
        return
    from ray_jobs.cli.first_config import local_models, write_config
    from ray_jobs.seeds.guess import guess

    with json_errors(as_json):
        if to.exists():
            raise ConfigError(f"--to {to}: exists already, and is not written over")
        # nobody is asked where a program reads
        ask = _missing if as_json or not sys.stdin.isatty() else _asked
        found = guess(seeds or ask("--from", "Seeds (file, folder, glob or URL)"))
        if not as_json:
            _show(found)
        models = (
            model or local_models(Path(".cache/models")) or [ask("--model", "Model (a folder, or a name on the Hub)")]
        )
        write_config(to, found.source, models, gpus, rounds, output)
    if as_json:
        print_json({"config": str(to), "models": models, **_document(found)})
        return
    say(f"{to}: written; evolve validate {to} checks it, evolve run {to} begins")


def make_demo(to: Path) -> list[str]:
    """Make the demo's two models, and write its configuration and seeds; the models' folders. Raises ConfigError."""
    from slm_evolve_demo.files import MODELS, check_free, write_demo
    from slm_evolve_demo.models import DemoError, make_demo_models, silence_transformers

    silence_transformers()
    try:
        check_free(to)
        remark(f"{to.parent / MODELS}: makes two models unless they are there, which takes half a minute")
        made = make_demo_models(to.parent / MODELS)
        write_demo(to)
    except FileExistsError as error:
        raise ConfigError(f"--to {to}: {error} exists already, and is not written over") from None
    except DemoError as error:
        raise ConfigError(f"--demo: {error}") from None
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot be written: {error.strerror}") from None
    return [str(folder) for folder in made]


def _asked(_: str, question: str) -> str:
    return str(typer.prompt(question))


def _missing(option: str, _: str) -> str:
    raise ConfigError(f"{option}: is missing, and there is no terminal to ask at")


def _document(found: Guess) -> dict[str, Any]:
    samples = [{"instruction": seed.instruction, "input": seed.input} for seed in found.samples]
    return {"layout": found.source.layout, "columns": dict(found.source.columns), "samples": samples}


def _show(found: Guess) -> None:
    say(f"seeds: layout {found.source.layout}, columns {dict(found.source.columns) or 'as they are named'}")
    for number, seed in enumerate(found.samples, 1):
        # a sample is one line, whatever it holds
        text = " ".join(f"{seed.instruction} {seed.input}".split())
        say(f"  {number}. {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}")
