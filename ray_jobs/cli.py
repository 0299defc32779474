"""The `evolve` command."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs import cli_data
from ray_jobs.errors import DamagedOutput, JobError

if TYPE_CHECKING:
    from ray_jobs.storage import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Evolve seed instructions with language models, answer them, and score the pairs with IFD and IC-IFD.",
    epilog="Exit codes: 0 done, 2 wrong configuration or usage, 3 unreadable seeds, 4 storage, 5 the output is taken "
    "or damaged, 6 a pool cannot do its work, 10 stopped on request. After 4, 6 and 10 the same command goes on.",
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's configuration, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, such as strategy.rounds=3; repeatable."),
]
Output = Annotated[str | None, typer.Option(help="Replace the configured output: a folder or any fsspec URL.")]
Target = Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of a run: a folder or any fsspec URL.")]
Storage = Annotated[
    str | None, typer.Option(metavar="YAML", help="Options for the file system, such as '{endpoint_url: http://...}'.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of Ray and of the engines.")]


@app.command(epilog="Example: evolve run examples/quickstart.yaml --output out/first --set strategy.rounds=3")
def run(
    config: Config,
    output: Output = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N seeds only.")] = None,
    settings: Overrides = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Refuse an output that is not empty.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="With --fresh: empty the output first.")] = False,
    verbose: Verbose = False,
) -> None:
    """Begin a run, or resume it where it stopped: the same command does both."""
    from ray_jobs.configuration import load_config
    from ray_jobs.preflight import empty_output
    from ray_jobs.run import run as run_job
    from ray_jobs.show import print_report

    if delete and not fresh:
        raise typer.BadParameter("--delete goes with --fresh only")
    overrides = [*(settings or []), *([f"seeds.limit={limit}"] if limit else [])]
    loaded = load_config(config, overrides, output)
    if fresh:
        empty_output(loaded, delete)
    report = run_job(loaded, verbose)
    print_report(report, loaded.output)


@app.command(epilog="Example: evolve validate examples/quickstart.yaml")
def validate(config: Config, output: Output = None, settings: Overrides = None) -> None:
    """Check a configuration: fields, templates, models, seeds and output. Starts nothing, writes nothing."""
    from ray_jobs.configuration import load_config
    from ray_jobs.preflight import check, check_places

    loaded = load_config(config, settings or [], output)
    check(loaded)
    check_places(loaded)
    typer.echo(f"{config}: valid")


@app.command(epilog="Example: evolve show out/first --rows 2 --evolver small")
def show(
    output: Target,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to show.")] = 3,
    evolver: Annotated[str | None, typer.Option(help="Only rows of this evolver.")] = None,
    storage: Storage = None,
) -> None:
    """Show a few rows side by side: the seed, each round's instruction, its response and scores."""
    from ray_jobs.show import print_rows

    print_rows(_open(output, storage), rows, evolver)


@app.command(epilog="Example: evolve status s3://bucket/run")
def status(output: Target, storage: Storage = None) -> None:
    """Tell how a run stands: what is done, kept, rejected and failed, why, and whether someone is running it."""
    from ray_jobs.status import describe
    from ray_jobs.status import status as read_status

    typer.echo(describe(read_status(_open(output, storage))))


@app.command(epilog="Example: evolve verify out/first && echo sound")
def verify(output: Target, storage: Storage = None) -> None:
    """Recount a whole output: rows without outcome or with two, checksums, readable files. Exit code 5 if unsound."""
    from ray_jobs.verify import verify as recount

    verdict = recount(_open(output, storage))
    state = "finished" if verdict.finished else "not finished"
    typer.echo(
        f"{verdict.done:,} of {verdict.rows:,} rows have an outcome, {verdict.records:,} records in {verdict.parts:,} "
        f"parts, {state}"
    )
    if verdict.problems:
        raise DamagedOutput(f"{output}: {len(verdict.problems)} problems\n  " + "\n  ".join(verdict.problems))
    typer.echo("no problem found")


@app.command("retry-failed", epilog="Example: evolve retry-failed out/first")
def retry_failed(output: Target, storage: Storage = None, verbose: Verbose = False) -> None:
    """Run the failed rows of an output again, under the configuration that it was begun with. Adds no seeds."""
    from ray_jobs.configuration import parse_storage, stored_config
    from ray_jobs.report import RUN, read_json
    from ray_jobs.retry import forget_failed
    from ray_jobs.run import resume
    from ray_jobs.show import print_report

    store = _open(output, storage)
    config = stored_config(read_json(store, RUN)["configuration"], output, parse_storage(storage))
    typer.echo(f"{forget_failed(store):,} failed rows run again")
    print_report(resume(config, verbose), output)


cli_data.register(app)


def _open(output: str, storage: str | None) -> Store:
    from ray_jobs.configuration import parse_storage
    from ray_jobs.storage import open_store

    return open_store(output, parse_storage(storage))


def main() -> None:
    """The command's entry point: a known error is one message on standard error and its own exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except JobError as error:
        typer.secho(f"error: {error}", err=True, fg="red")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
