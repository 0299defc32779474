"""The command that forecasts a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.cli.options import Config, Output, Overrides, Verbose
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(epilog="Example: evolve plan examples/cluster.yaml --sample 500 --json plan.json")
def plan(
    config: Config,
    output: Output = None,
    settings: Overrides = None,
    sample: Annotated[
        int | None, typer.Option(min=2, help="Try so many seeds; by default as many as fill the engines four times.")
    ] = None,
    rates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try nothing: take speeds from YAML, or from an earlier --json.")
    ] = None,
    card_gb: Annotated[
        float | None, typer.Option("--card-gb", min=1, help="What a GPU has, where the cluster does not say.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all of it here too.")] = None,
    verbose: Verbose = False,
) -> None:
    """Check a run and forecast it from a sample: time, tokens, GPU-hours, cost, and which pool holds the others up."""
    from ray_jobs.config.run import RunConfig
    from ray_jobs.errors import ConfigError
    from ray_jobs.forecast.plan import Question, forecast_run
    from ray_jobs.forecast.text import describe
    from ray_jobs.jobs.load import load_config

    loaded = load_config(config, settings or [], output)
    if not isinstance(loaded, RunConfig):
        raise ConfigError(f"{config}: a run of AutoIF has no forecast: its first phase decides how many rows follow")
    found = forecast_run(loaded, Question(sample, rates, card_gb), verbose, say)
    for line in describe(found):
        say(line)
    if json_file:
        json_file.write_bytes(found.to_json())
