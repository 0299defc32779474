"""The `evolve` command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.cli import analyse, clean, data, init, optimize, plan, preview, respond, schema, score, serve, wait
from ray_jobs.cli import jobs as cli_jobs
from ray_jobs.cli import report as cli_report
from ray_jobs.cli.added import Commands
from ray_jobs.cli.confirm import confirm
from ray_jobs.cli.json_output import Json, json_errors, print_json
from ray_jobs.cli.options import Config, Output, Overrides, Storage, Target, Verbose
from ray_jobs.cli.terminal import complain, log_handler, say
from ray_jobs.errors import DamagedOutput, JobError
from ray_jobs.runner import signals, supervisor

if TYPE_CHECKING:
    from ray_jobs.storage.store import Store

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Evolve seed instructions with language models, answer them, and score the pairs with IFD and IC-IFD.",
    epilog="Exit codes: 0 done, 2 wrong configuration or usage, 3 unreadable seeds, 4 storage, 5 the output is taken "
    "or damaged, 6 a pool cannot do its work or nothing useful came out, 7 no cluster, or it was lost, 10 stopped on "
    "request, 11 the budget is spent, 130 ended by a second signal, 137 killed. After 4, 6, 7, 10, 130 and 137 the "
    "same command goes on.",
)

app.add_typer(score.app)
app.add_typer(respond.app)
app.add_typer(analyse.app)
app.add_typer(cli_jobs.app)
app.add_typer(optimize.app)
app.add_typer(plan.app)
app.add_typer(cli_report.app)
app.add_typer(schema.app)
app.add_typer(init.app)
app.add_typer(preview.app)
app.add_typer(wait.app)
app.add_typer(clean.app)
app.add_typer(serve.app)


@app.command(epilog="Example: evolve run examples/quickstart.yaml --output out/first --set strategy.rounds=3")
def run(
    config: Config,
    output: Output = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N seeds only.")] = None,
    settings: Overrides = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=AMOUNT",
            help="Stop before all sessions have taken this: gpu_hours=100 or money=250; repeatable.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Refuse an output that is not empty.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="With --fresh: remove the earlier run first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --delete: remove without asking.")] = False,
    verbose: Verbose = False,
) -> None:
    """Begin a run, or resume it where it stopped: the same command does both."""
    from ray_jobs.cli.show import print_run
    from ray_jobs.jobs.finish import check_finish, finish
    from ray_jobs.jobs.fresh import begin_afresh
    from ray_jobs.jobs.load import load_config
    from ray_jobs.jobs.notify import notified
    from ray_jobs.jobs.registry import jobs_of, run_all

    if delete and not fresh:
        raise typer.BadParameter("--delete goes with --fresh only")
    if yes and not delete:
        raise typer.BadParameter("--yes goes with --fresh --delete only")
    overrides = [*(settings or []), *([f"seeds.limit={limit}"] if limit else [])]
    overrides += [f"limits.budget.{item}" for item in budget or []]
    loaded = load_config(config, overrides, output)
    with notified(loaded.notify, loaded.output, loaded.storage, say):
        check_finish(loaded)
        jobs = jobs_of(loaded)
        if fresh:
            begin_afresh(jobs[-1], delete, partial(confirm, "--delete", yes))
            # anew: an output may be gone on with as an earlier version began it, and this one is begun now
            jobs = jobs_of(loaded)
        print_run(lambda: run_all(jobs, verbose, say), loaded.output)
        finish(loaded, verbose, say)


@app.command(epilog="Example: evolve validate examples/quickstart.yaml")
def validate(
    config: Config,
    output: Output = None,
    settings: Overrides = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no server of a model.")] = False,
    as_json: Json = False,
) -> None:
    """Check a configuration: fields, templates, models, servers, seeds and output. Starts nothing.

    Seeds are read for up to 20 seconds, each server is asked for one token, and a file is written and removed.
    """
    from ray_jobs.jobs.finish import check_finish
    from ray_jobs.jobs.load import load_config
    from ray_jobs.jobs.registry import jobs_of
    from ray_jobs.jobs.validate import check_all

    with json_errors(as_json):
        loaded = load_config(config, settings or [], output)
        check_finish(loaded)
        found = list(check_all(jobs_of(loaded)[-1], offline))
    if as_json:
        print_json({"config": str(config), "valid": True, "found": found})
        return
    for line in found:
        say(line)
    say(f"{config}: valid")


@app.command(epilog="Example: evolve show out/first --rows 2 --evolver small")
def show(
    output: Target,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to show.")] = 3,
    evolver: Annotated[str | None, typer.Option(help="Only rows of this evolver.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Instead one kept record, with all its columns.")] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Show a few rows side by side: the seed, each round's instruction, response and scores; of a search its method."""
    from ray_jobs.cli.show import print_record, print_rows, rows_document, whole_record
    from ray_jobs.cli.status_json import method_document
    from ray_jobs.jobs.method_search import searches

    if as_json:
        with json_errors(as_json):
            store = _open(output, storage)
            if searches.is_search(store):
                print_json(method_document(store))
            else:
                print_json({"record": whole_record(store, evolver)} if record else rows_document(store, rows, evolver))
        return
    store = _open(output, storage)
    if searches.is_search(store):
        for line in searches.describe_method(store):
            say(line)
    elif record:
        print_record(store, evolver)
    else:
        print_rows(store, rows, evolver)


@app.command(epilog="Example: evolve status s3://bucket/run")
def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT|JOB_ID", help="A run's output; with --address a job's id.")],
    storage: Storage = None,
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="A cluster's dashboard: tell of a job there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell how a run stands: what is done, kept, rejected and failed, why, and whether someone is running it."""
    if address:
        cli_jobs.show_job(output, address, as_json)
        return
    if as_json:
        from ray_jobs.cli.status_json import status_document

        with json_errors(as_json):
            print_json(status_document(_open(output, storage)))
        return
    from ray_jobs.cli.status import describe_all

    say(describe_all(_open(output, storage)))


@app.command(epilog="Example: evolve verify out/first && echo sound")
def verify(output: Target, storage: Storage = None, as_json: Json = False) -> None:
    """Recount a whole output: rows without outcome or with two, checksums, readable files. Exit code 5 if unsound."""
    if as_json:
        from ray_jobs.cli.status_json import verify_document

        with json_errors(as_json):
            document = verify_document(_open(output, storage))
        print_json(document)
        raise typer.Exit(0 if document["sound"] else DamagedOutput.exit_code)
    from ray_jobs.jobs.stores import stores_of
    from ray_jobs.output.verify import verify as recount

    problems = list[str]()
    for phase, store in stores_of(_open(output, storage)).items():
        verdict = recount(store)
        state = "finished" if verdict.finished else "not finished"
        say(
            f"{phase}{': ' if phase else ''}{verdict.done:,} of {verdict.rows:,} rows have an outcome, "
            f"{verdict.records:,} records in {verdict.parts:,} parts, {state}"
        )
        problems += verdict.problems
    if problems:
        raise DamagedOutput(f"{output}: {len(problems)} problems\n  " + "\n  ".join(problems))
    say("no problem found")


@app.command("retry-failed", epilog="Example: evolve retry-failed out/first")
def retry_failed(
    output: Target,
    storage: Storage = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The run's configuration, for what is not stored of it: secrets."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run the failed rows of an output again, under the configuration that it was begun with. Adds no seeds."""
    from ray_jobs.cli.show import print_run
    from ray_jobs.config.load import parse_storage, read_raw
    from ray_jobs.jobs.registry import run_all, stored_jobs
    from ray_jobs.jobs.stores import stores_of
    from ray_jobs.output.retry import drop_failed
    from ray_jobs.runner.run import resume

    store = _open(output, storage)
    given = None if config is None else read_raw(config)
    options = parse_storage(storage) or (given or {}).get("storage") or {}
    first, *later = stored_jobs(store, output, options, given)
    again = sum(drop_failed(item) for item in stores_of(store).values())
    say(f"{again:,} failed rows run again")

    def run_again() -> dict[str, Any]:
        report = resume(first, verbose, say)
        return run_all(later, verbose, say) if later else report

    print_run(run_again, output)


@app.command(epilog="Example: evolve repair out/first && evolve run examples/quickstart.yaml --output out/first")
def repair(output: Target, storage: Storage = None) -> None:
    """Put right what can be put right without engines: leftovers, damaged files, parts that a kill left unjoined."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.jobs.registry import stored_jobs
    from ray_jobs.jobs.stores import stores_of
    from ray_jobs.runner.repair import repair as put_right

    store = _open(output, storage)
    # phases that have not begun are the last ones
    for item, job in zip(stores_of(store).values(), stored_jobs(store, output, parse_storage(storage)), strict=False):
        put_right(item, job, say)


data.register(app)


def _open(output: str, storage: str | None) -> Store:
    from ray_jobs.config.load import parse_storage
    from ray_jobs.storage.store import open_store

    return open_store(output, parse_storage(storage))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command's entry point: a known error is one message on standard error and its own exit code.

    `arguments` are those of the command line by default. Then the work is done in a child process, and SIGTERM and
    SIGINT are taken until its end. With others it always ends by raising SystemExit.
    """
    own = arguments is None
    if own:
        supervisor.split()
    logging.basicConfig(level=logging.WARNING, handlers=[log_handler()])
    code: int | str | None = 0
    try:
        app(arguments)
    except JobError as error:
        complain(error)
        code = error.exit_code
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # is raised on; the way out is the same whatever it is
        signals.leaving()
        raise
    if own and not isinstance(code, str):
        signals.leave(code or 0)
    sys.exit(code)


if __name__ == "__main__":
    main()
