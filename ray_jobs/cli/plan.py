"""The command that forecasts a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.cli.json_output import json_errors, print_json, progress
from ray_jobs.cli.options import Config, Output, Overrides, Verbose
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(epilog="Example: evolve plan examples/cluster.yaml --sample 500 --json plan.json")
def plan(
    config: Config,
    output: Output = None,
    settings: Overrides = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Try so many seeds (of AutoIF: rows a phase); by default as many as fill the engines four times (30).",
        ),
    ] = None,
    rates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try nothing: take speeds from YAML, or from an earlier --json.")
    ] = None,
    card_gb: Annotated[
        float | None, typer.Option("--card-gb", min=1, help="What a GPU has, where the cluster does not say.")
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write all of it here too; with - it alone is printed, an error too."
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Check a run and forecast it from a sample: time, tokens, GPU-hours, cost, and which pool holds the others up."""
    from ray_jobs.config.run import RunConfig
    from ray_jobs.forecast.phases import forecast_phases
    from ray_jobs.forecast.plan import Question, forecast_run
    from ray_jobs.forecast.text import describe, describe_phases
    from ray_jobs.jobs.load import load_config

    as_json = json_file == Path("-")
    with json_errors(as_json):
        loaded, question = load_config(config, settings or [], output), Question(sample, rates, card_gb)
        if isinstance(loaded, RunConfig):
            found = forecast_run(loaded, question, verbose, progress(as_json))
            lines, content = describe(found), found.to_json()
        else:
            phases = forecast_phases(loaded, question, verbose, progress(as_json))
            lines, content = describe_phases(phases), {name: answer.to_json() for name, answer in phases.items()}
    if as_json:
        print_json(content)
        return
    for line in lines:
        say(line)
    if json_file:
        json_file.write_text(json.dumps(content, indent=1), encoding="utf-8")
