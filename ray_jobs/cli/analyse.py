"""`evolve analyse`: measuring the records of an output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ray_jobs.cli.options import Cluster, Overrides, Storage, Verbose
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(epilog="Example: evolve analyse out/first difficulty --config examples/judge.yaml")
def analyse(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of a run or of a selection.")],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="difficulty, difficulty_score, diversity, evolution_reward, key_phrases, reward, "
            "trajectories, top1, win, one of an installed package, or package.module:Class.",
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The analysis's settings in YAML: its judge, encoder or reward model."),
    ] = None,
    settings: Overrides = None,
    address: Cluster = None,
    storage: Storage = None,
    verbose: Verbose = False,
) -> None:
    """Measure the records of an output, and leave a table beside the data; the same command resumes."""
    from ray_jobs.cli.show import print_summary
    from ray_jobs.config.load import overridden, parse_storage, read_settings, validated
    from ray_jobs.jobs.analysis.analyse import analyse as measure
    from ray_jobs.jobs.analysis.analyse import folder_of
    from ray_jobs.jobs.analysis.config import AnalysisRunConfig

    analysis: dict[str, Any] = overridden(read_settings(config) if config else {}, settings or []) | {"kind": name}
    raw = {
        "source": output,
        "output": folder_of(output, name.rpartition(":")[2]),
        "storage": parse_storage(storage),
        "ray": {"address": address},
        "analysis": analysis,
    }
    loaded = validated(AnalysisRunConfig, raw, f"evolve analyse {name}")
    print_summary(measure(loaded, verbose, say), loaded.output)
