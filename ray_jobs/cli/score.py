"""`evolve score`: scores for pairs that exist already."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ray_jobs.cli.options import Cluster, Columns, Dataset, Layout, Settings, Storage, Verbose, dataset
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(
    epilog="Example: evolve score alpaca.json out/scored --model HuggingFaceTB/SmolLM2-135M --columns output=response"
)
def score(
    source: Dataset,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="Where the scored pairs go: a folder or any fsspec URL.")
    ],
    model: Annotated[str, typer.Option(help="The scorer: a folder or hub id of a causal language model.")],
    columns: Columns = None,
    layout: Layout = "columns",
    mode: Annotated[
        str, typer.Option(help="plain, the paper's rule, or chat, through the model's template.")
    ] = "plain",
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut text beyond the model's context, and note it.")
    ] = False,
    reward_model: Annotated[
        str | None, typer.Option(help="Also the reward by this model: sequence classification with one label.")
    ] = None,
    instruction_length: Annotated[
        bool, typer.Option("--instruction-length", help="Also the instruction's length in the scorer's tokens.")
    ] = False,
    actors: Annotated[
        int, typer.Option(min=1, help="How many scorers work side by side; a machine's own share its cores.")
    ] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each scorer.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Score the first N pairs only.")] = None,
    settings: Settings = None,
    address: Cluster = None,
    storage: Storage = None,
    verbose: Verbose = False,
) -> None:
    """Score the pairs of any dataset with IFD and IC-IFD; the same command resumes."""
    from ray_jobs.cli.show import print_run
    from ray_jobs.config.load import parse_storage, replace_setting, validated
    from ray_jobs.config.run import ScoreConfig
    from ray_jobs.jobs.registry import run_all
    from ray_jobs.jobs.score_pairs import ScorePairsJob
    from ray_jobs.runner.address import starts_here

    options = parse_storage(storage)
    raw: dict[str, Any] = {
        "output": output,
        "storage": options,
        "seeds": dataset(source, layout, columns, limit, options),
        "scorer": {
            "model": model,
            "mode": mode,
            "truncate": truncate,
            "reward": {"model": reward_model} if reward_model else None,
            "instruction_length": instruction_length,
            "threads": _share_of_cores(actors) if starts_here(address) and not gpus else None,
            "pool": {"size": actors, "gpus": gpus, "batch_rows": 256, "batches_in_flight": 2},
        },
        "ray": {"address": address},
    }
    for setting in settings or []:
        replace_setting(raw, setting)
    job = ScorePairsJob(validated(ScoreConfig, raw, "evolve score"))
    print_run(lambda: run_all([job], verbose, say), output)


def _share_of_cores(actors: int) -> int:
    """Threads of each scorer where they have the machine to themselves; Ray would give each one."""
    return max(1, len(os.sched_getaffinity(0)) // actors)
