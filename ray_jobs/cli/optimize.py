"""The command that searches for a better method of Auto Evol-Instruct."""

from __future__ import annotations

import typer

from evolve.masking import mask_url
from ray_jobs.cli.options import Config, Output, Overrides, Verbose
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(epilog="Example: evolve optimize examples/optimize.yaml --output out/optimize")
def optimize(config: Config, output: Output = None, settings: Overrides = None, verbose: Verbose = False) -> None:
    """Search for a better method of Auto Evol-Instruct, or resume a search at its last finished step."""
    from ray_jobs.config.load import read_config
    from ray_jobs.jobs.method_search.config import OptimizeConfig
    from ray_jobs.jobs.method_search.search import METHOD
    from ray_jobs.jobs.method_search.search import optimize as run_search
    from ray_jobs.jobs.method_search.searches import describe_end

    loaded = read_config(OptimizeConfig, config, settings or [], output)
    report = run_search(loaded, verbose, say)
    for line in describe_end(report):
        say(line)
    say(f"output: {mask_url(loaded.output.rstrip('/'))}/{METHOD}")
