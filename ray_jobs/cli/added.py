"""Commands that installed packages add to `evolve`, each loaded when it is called or listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from ray_jobs.config.registry import Registry
from ray_jobs.errors import ConfigError

# not in config/kinds.py, for a command that is only listed needs no configuration read
COMMANDS: Registry[Callable[..., Any]] = Registry("commands", "collections.abc:Callable", {})
"""Commands of installed packages, each a typer application or a function; the shipped ones stand in cli/app.py."""


class Commands(TyperGroup):
    """The commands of this package, and behind them those of others, by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return [*super().list_commands(ctx), *(name for name in COMMANDS.names() if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name. One that cannot be had is there all the same, and raises ConfigError when called."""
        if cmd_name not in COMMANDS.names():
            return super().get_command(ctx, cmd_name)
        if cmd_name in self.commands:
            return _failing(cmd_name, ConfigError(f"commands {cmd_name}: an installed package brings one of this name"))
        try:
            return _command(cmd_name, COMMANDS.find(cmd_name))
        except ConfigError as error:
            return _failing(cmd_name, error)


def _command(name: str, found: Callable[..., Any], **settings: Any) -> Any:
    app = found if isinstance(found, typer.Typer) else typer.Typer()
    if app is not found:
        app.command(name, **settings)(found)
    command = typer.main.get_command(app)
    command.name = name
    return command


def _failing(name: str, error: ConfigError) -> Any:
    def fail() -> None:
        raise error

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    return _command(name, fail, help="Cannot be used; call it to see why.", context_settings=anything)
