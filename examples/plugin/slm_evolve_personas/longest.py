"""A command: `evolve longest OUTPUT` shows the longest instructions of an output."""

from __future__ import annotations

from heapq import nlargest
from typing import Annotated

import typer

from ray_jobs.cli.options import Storage, Target
from ray_jobs.cli.terminal import say


def longest(
    output: Target,
    rows: Annotated[int, typer.Option(min=1, help="How many to show.")] = 3,
    storage: Storage = None,
) -> None:
    """Show the longest instructions of an output."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.datasets.source import open_source
    from ray_jobs.storage.store import open_store

    source = open_source(open_store(output, parse_storage(storage)))
    texts = (text for batch in source.batches(["instruction"]) for text in batch.column("instruction").to_pylist())
    for text in nlargest(rows, texts, key=len):
        say(f"{len(text):>8,} {text}")
