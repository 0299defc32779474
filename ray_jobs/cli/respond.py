"""`evolve respond`: new answers to instructions that exist already."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ray_jobs.cli.options import Cluster, Columns, Dataset, Layout, Settings, Storage, Verbose, dataset
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(epilog="Example: evolve respond out/first/data out/again --model Qwen/Qwen2.5-72B-Instruct --prompt paper")
def respond(
    source: Dataset,
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Where the answers go: a folder or any fsspec URL.")],
    model: Annotated[str, typer.Option(help="The responder: a folder or hub id of a language model.")],
    columns: Columns = None,
    layout: Layout = "columns",
    prompt: Annotated[str, typer.Option(help="bare, or paper: what instructions are wrapped in.")] = "bare",
    scorer: Annotated[str | None, typer.Option(help="Also score the answers with this causal language model.")] = None,
    actors: Annotated[int, typer.Option(min=1, help="How many responders work side by side.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each responder, and of the scorer.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer the first N instructions only.")] = None,
    settings: Settings = None,
    address: Cluster = None,
    storage: Storage = None,
    verbose: Verbose = False,
) -> None:
    """Answer the instructions of any dataset without evolving them; the same command resumes."""
    from ray_jobs.cli.show import print_run
    from ray_jobs.config.load import parse_storage, replace_setting, validated
    from ray_jobs.config.run import RespondConfig
    from ray_jobs.jobs.answer_tasks import AnswerTasksJob
    from ray_jobs.runner.run import run

    options = parse_storage(storage)
    raw: dict[str, Any] = {
        "output": output,
        "storage": options,
        "seeds": dataset(source, layout, columns, limit, options),
        "responder": {"engine": {"model": model}, "prompt": prompt, "pool": {"size": actors, "gpus": gpus}},
        "scorer": {"model": scorer, "pool": {"gpus": gpus}} if scorer else None,
        "ray": {"address": address},
    }
    for setting in settings or []:
        replace_setting(raw, setting)
    job = AnswerTasksJob(validated(RespondConfig, raw, "evolve respond"))
    print_run(lambda: run(job, verbose, say), output)
