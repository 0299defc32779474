"""`evolve wait`: until a run has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.cli.options import Storage, Target
from ray_jobs.cli.terminal import say
from ray_jobs.errors import Stopped

if TYPE_CHECKING:
    from ray_jobs.storage.store import Store

app = typer.Typer()


@app.command(epilog="Example: evolve wait s3://bucket/run && evolve export s3://bucket/run out/sft --format alpaca")
def wait(
    output: Target,
    every: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How often to look.")] = 15,
    storage: Storage = None,
) -> None:
    """Wait until nobody works on an output. Exit code 0 where all of it is finished, 10 where the run had stopped."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.storage.store import open_store

    wait_for(open_store(output, parse_storage(storage)), lambda: time.sleep(every))
    say(f"{output}: finished")


def wait_for(store: Store, pause: Callable[[], None]) -> None:
    """Call `pause` for as long as an unfinished output may have a holder that lives.

    A holder of whom only its heartbeat could tell is waited for. Raises Stopped where nobody works on an unfinished
    output; OutputError where no run is.
    """
    from ray_jobs.cli.status import status
    from ray_jobs.jobs.autoif.stores import autoif_stores
    from ray_jobs.jobs.stores import stores_of

    while True:
        stores = stores_of(store)
        states = [status(item) for item in stores.values()]
        if not any(state.holder and state.holder.alive is not False for state in states):
            break
        pause()
    begun = "" in stores or all(name in stores for name in autoif_stores(store))
    if not (begun and all(state.finished for state in states)):
        raise Stopped(f"{store.url}: not finished, and nobody is working on it; the command that began it goes on")
