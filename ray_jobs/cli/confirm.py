"""Nothing is removed before somebody has seen what."""

from __future__ import annotations

import sys

import typer

from ray_jobs.cli.terminal import say
from ray_jobs.errors import ConfigError


def confirm(option: str, yes: bool, removal: str) -> None:
    """Show what is to be removed, and raise ConfigError, naming the option or command, unless that is wanted."""
    say(removal)
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{option}: nothing is removed without an answer on a terminal, or --yes")
    if not typer.confirm("Remove these files?"):
        raise ConfigError(f"{option}: not wanted, nothing is removed")
