"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
