"""The commands on Ray jobs: submit and stop. `evolve status` shows jobs too, through `show_job`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolve.masking import mask_url
from ray_jobs.cli.json_output import Json, json_errors, print_json
from ray_jobs.cli.terminal import pass_on, say
from ray_jobs.errors import ConfigError
from ray_jobs.runner import signals

if TYPE_CHECKING:
    from ray_jobs.service.job_client import JobClient

app = typer.Typer()

Address = Annotated[str, typer.Option(metavar="URL", help="The cluster's dashboard, such as http://127.0.0.1:8265.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Replace a setting; repeatable. What may be secret travels unseen."
    ),
]
Passed = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Pass this variable on: unseen where the configuration has {from: NAME}, else Ray shows its value.",
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="The id that `evolve submit` printed.")]


@app.command(epilog="Example: evolve submit examples/cluster.yaml --address http://127.0.0.1:8265 --follow")
def submit(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="The run's configuration, in the working directory.")
    ],
    address: Address,
    output: Annotated[str | None, typer.Option(help="Replace the configured output.")] = None,
    settings: Settings = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the job's log and leave with the run's exit code.")
    ] = False,
    env: Passed = None,
    working_dir: Annotated[Path, typer.Option(help="The folder that travels to the cluster.")] = Path(),
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Leave files out, as .gitignore would; repeatable.")
    ] = None,
    driver_cpus: Annotated[
        float, typer.Option(min=0, help="CPUs reserved for the driver; with 0 it runs on the head.")
    ] = 1,
    driver_resources: Annotated[
        str | None, typer.Option(metavar="YAML", help="Custom resources for the driver, such as '{driver: 1}'.")
    ] = None,
    job_id: Annotated[str | None, typer.Option(help="The job's id; by default Ray makes one.")] = None,
    as_json: Json = False,
) -> None:
    """Run a configuration as a job on a Ray cluster. Submitted again, it goes on where it stopped."""
    from ray_jobs.service.submit import Submission
    from ray_jobs.service.submit import submit as submit_job

    if follow and as_json:
        raise typer.BadParameter("--json goes without --follow")
    with json_errors(as_json):
        submission = Submission(
            config=config,
            overrides=settings or (),
            output=output,
            working_dir=working_dir,
            excludes=exclude or (),
            env=env or (),
            cpus=driver_cpus,
            resources=_resources(driver_resources),
            job_id=job_id,
        )
        client = _connect(address)
        sent = submit_job(client, submission)
    if as_json:
        print_json({"job": sent.job_id, "files": sent.files, "package_bytes": sent.package_bytes})
        return
    say(f"job {sent.job_id}: submitted, {sent.files:,} files, {sent.package_bytes / 2**20:.1f} MiB")
    if follow:
        raise typer.Exit(_follow(client, sent.job_id))
    say(f"evolve status {sent.job_id} --address {mask_url(address)}")


@app.command(epilog="Example: evolve stop raysubmit_9rZ --address http://127.0.0.1:8265")
def stop(job_id: JobId, address: Address) -> None:
    """Stop a job in good order: rows in flight finish within `limits.drain_seconds`, and all of it is committed."""
    stopping = _connect(address).stop(job_id)
    say(f"job {job_id}: {'is asked to stop' if stopping else 'had ended already'}")


def show_job(job_id: str, address: str, as_json: bool) -> None:
    """Print how a job stands."""
    from ray_jobs.service.job_client import describe, document

    with json_errors(as_json):
        client = _connect(address)
        info, log = client.info(job_id), client.log(job_id)
    if as_json:
        print_json({"job": document(info, log)})
        return
    say(describe(info, log))


def _connect(address: str) -> JobClient:
    from ray_jobs.service.job_client import JobClient

    logging.getLogger("ray").setLevel(logging.WARNING)
    return JobClient(address)


def _follow(client: JobClient, job_id: str) -> int:
    from ray_jobs.service.job_client import cause_of, exit_code

    try:
        with signals.interruptible():
            info = client.follow(job_id, pass_on)
    except KeyboardInterrupt:
        say(f"\njob {job_id} goes on; evolve stop {job_id} --address {mask_url(client.address)} ends it")
        return 130
    code = exit_code(info)
    cause = cause_of(info) if code else ""
    say(f"job {job_id}: {info.status}, exit code {code}{f': {cause}' if cause else ''}")
    return code


def _resources(text: str | None) -> dict[str, float]:
    import yaml

    from ray_jobs.config.values import parsed

    try:
        read = parsed(text or "{}")
    except yaml.YAMLError:
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, int | float) for value in read.values()):
        raise ConfigError(f"--driver-resources {text}: expected names and amounts, such as '{{driver: 1}}'")
    return {str(name): float(amount) for name, amount in read.items()}
