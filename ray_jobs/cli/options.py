"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ray_jobs.errors import ConfigError
from ray_jobs.storage.urls import options_for

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
Cluster = Annotated[str | None, typer.Option("--address", help="A Ray cluster; without one, a local one is started.")]
Dataset = Annotated[str, typer.Argument(metavar="INPUT", help="JSON, JSONL, CSV or Parquet: file, folder, glob, URL.")]
Layout = Annotated[str, typer.Option(help="columns, sharegpt or messages.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD=NAME", help="Where instruction, input or output is under another name; repeatable."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting of the configuration; repeatable."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of Ray and of the engines.")]


def dataset(
    source: str, layout: str, columns: list[str] | None, limit: int | None, storage: dict[str, Any]
) -> dict[str, Any]:
    """The `seeds` of a command over any dataset. Raises ConfigError."""
    return {
        "path": source,
        "layout": layout,
        "columns": dict(_mapping(column) for column in columns or []),
        "limit": limit,
        # the same file system reads and writes, unless the input is on local disk
        "storage": dict(options_for(source, storage)),
    }


def _mapping(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not equals:
        raise ConfigError(f"--columns {text}: expected FIELD=NAME, such as instruction=question")
    return field, name
