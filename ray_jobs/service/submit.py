"""A run as a Ray job: what travels to the cluster, and the command that runs there.

The package holds the working directory without what Ray or `EXCLUDES` leaves out. What may be secret travels in it
too, in a configuration of its own: Ray shows a job's command and its environment to anyone whom the cluster admits.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ray._private.ray_constants import RAY_RUNTIME_ENV_IGNORE_GITIGNORE
from ray._private.runtime_env.packaging import create_package

from ray_jobs.config.load import read_raw
from ray_jobs.config.run import JobConfig
from ray_jobs.config.secret_names import FROM, concealed_setting, is_reference, shown_name
from ray_jobs.config.values import given_value
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.load import checked
from ray_jobs.service.job_client import JobClient

EXCLUDES = ("/.git", "/.venv", "/venv", "/.cache", "/out", "/build", "__pycache__", "*.egg-info", "/.*_cache")
MAX_PACKAGE_BYTES = 100 * 2**20
"""Every node fetches the package before its first worker starts, so it should hold code and settings, not data."""

PACKED_CONFIG = "evolve-submitted.yaml"
"""The configuration in the package that stands for the submitter's, with all that replaces settings of it."""

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
STOP_MARGIN_SECONDS = 60
"""What a stopped run may take beyond its `limits.drain_seconds` to commit, before Ray kills it."""


@dataclass(frozen=True)
class Submission:
    """What is to run, from where, and what its driver asks of the cluster. `env` are names of variables."""

    config: Path
    overrides: Sequence[str] = ()
    output: str | None = None
    working_dir: Path = Path()
    excludes: Sequence[str] = ()
    env: Sequence[str] = ()
    cpus: float = 1
    resources: Mapping[str, float] = field(default_factory=dict)
    job_id: str | None = None


@dataclass(frozen=True)
class Submitted:
    """A job that the cluster has taken, and the size of its package."""

    job_id: str
    package_bytes: int
    files: int


def submit(client: JobClient, submission: Submission) -> Submitted:
    """Package and submit a run. Raises ConfigError before anything is sent, ClusterError where the cluster refuses."""
    raw = read_raw(submission.config, submission.overrides, submission.output)
    run = checked(raw, submission.config)
    check_output(run)
    passed = environment(submission.env)
    whole = inlined(raw, passed)
    hidden = whole if whole != raw or has_secrets(submission) else None
    visible = {name: value for name, value in passed.items() if name not in variables_of(raw)}
    variables = {**visible, STOP_WAIT: str(round(run.limits.drain_seconds) + STOP_MARGIN_SECONDS)}
    with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
        package = Path(folder) / "package.zip"
        names = pack(submission.working_dir, submission.excludes, package)
        place = _in_package(submission, names)
        if hidden is not None:
            add_configuration(package, hidden)
        job_id = client.submit(
            entrypoint=entry_point(submission, place) if hidden is None else command(PACKED_CONFIG),
            runtime_env={"working_dir": str(package), "env_vars": variables},
            submission_id=submission.job_id,
            entrypoint_num_cpus=submission.cpus,
            entrypoint_resources=dict(submission.resources) or None,
        )
        return Submitted(job_id, package.stat().st_size, len(names))


def entry_point(submission: Submission, config: str) -> str:
    """The command that the job runs in its copy of the working directory."""
    replacing = ["--output", submission.output] if submission.output else []
    for override in submission.overrides:
        replacing += ["--set", override]
    return command(config, *replacing)


def command(config: str, *more: str) -> str:
    """The command that runs a configuration."""
    return shlex.join(["python", "-m", "ray_jobs.cli", "run", config, *more])


def has_secrets(submission: Submission) -> bool:
    """Whether something that replaces a setting may be secret, so that it must not stand in the job's command."""
    given = [
        (path, given_value(value)) for path, _, value in (override.partition("=") for override in submission.overrides)
    ]
    given.append(("output", submission.output))
    return any(concealed_setting(path.split("."), value) != value for path, value in given)


def variables_of(raw: Any) -> set[str]:
    """The variables from which settings take values, by {from: NAME}."""
    if is_reference(raw):
        return {raw[FROM]}
    inner = raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ()
    return set[str]().union(*map(variables_of, inner))


def inlined(raw: Any, values: Mapping[str, str]) -> Any:
    """The settings `raw` with the `values` of variables in the place of {from: NAME}, where they are given."""
    if is_reference(raw):
        return values.get(raw[FROM], raw)
    if isinstance(raw, dict):
        return {name: inlined(item, values) for name, item in raw.items()}
    return [inlined(item, values) for item in raw] if isinstance(raw, list) else raw


def add_configuration(package: Path, raw: Mapping[str, Any]) -> None:
    """Put a whole configuration into the package, for the job's user alone to read."""
    entry = zipfile.ZipInfo(PACKED_CONFIG)
    entry.external_attr = stat.S_IFREG << 16 | (stat.S_IRUSR | stat.S_IWUSR) << 16
    with zipfile.ZipFile(package, "a") as opened:
        opened.writestr(entry, yaml.safe_dump(dict(raw), allow_unicode=True))


def environment(names: Sequence[str]) -> dict[str, str]:
    """The variables of these names from this process's environment. Raises ConfigError where one is not set."""
    if missing := [name for name in names if name not in os.environ]:
        raise ConfigError(
            f"--env {shown_name(missing[0])}: there is no such variable in this environment; give names only, "
            "their values are taken from it"
        )
    return {name: os.environ[name] for name in names}


def check_output(run: JobConfig) -> None:
    """Refuse an output that only one node would see, and that ends with the job. Raises ConfigError."""
    if "://" not in run.output and not Path(run.output).is_absolute():
        raise ConfigError(
            f"output: {run.output} is relative, and a job's working directory is deleted with the job; expected an "
            "object store's URL, or the absolute path of a file system that all nodes share"
        )


def pack(folder: Path, excludes: Sequence[str], package: Path) -> list[str]:
    """Write `folder` into the zip file `package` as Ray would, and return the names in it.

    Files that .gitignore and .rayignore name stay out, as do EXCLUDES and `excludes` (the same patterns).
    Raises ConfigError where the package is too large to send to every node.
    """
    if not folder.is_dir():
        raise ConfigError(f"--working-dir {folder}: is not a folder")
    heed_gitignore = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    patterns = [*EXCLUDES, *excludes]
    create_package(str(folder.resolve()), package, include_gitignore=heed_gitignore, excludes=patterns)
    with zipfile.ZipFile(package) as opened:
        entries = opened.infolist()
    if package.stat().st_size > MAX_PACKAGE_BYTES:
        largest = sorted(entries, key=lambda entry: -entry.compress_size)[:5]
        listed = "\n".join(f"  {entry.compress_size / 2**20:8.1f} MiB  {entry.filename}" for entry in largest)
        raise ConfigError(
            f"{folder}: packs to {package.stat().st_size / 2**20:,.0f} MiB, allowed are "
            f"{MAX_PACKAGE_BYTES / 2**20:.0f}; leave files out with --exclude or .rayignore, and put data into an "
            f"object store. The largest:\n{listed}"
        )
    return [entry.filename for entry in entries]


def _in_package(submission: Submission, names: Sequence[str]) -> str:
    """The configuration's path within the package."""
    folder, config = submission.working_dir.resolve(), submission.config.resolve()
    place = config.relative_to(folder).as_posix() if config.is_relative_to(folder) else None
    if place is None or place not in names:
        raise ConfigError(
            f"{submission.config}: is not part of the package of {folder}; expected a file below it that neither "
            ".gitignore, .rayignore nor --exclude leaves out (--working-dir names another folder)"
        )
    return place
