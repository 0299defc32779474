"""`evolve wait`: until a run has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from ray_jobs.cli.options import Storage, Target
from ray_jobs.cli.terminal import say
from ray_jobs.errors import ConfigError, Stopped

if TYPE_CHECKING:
    from ray_jobs.config.secrets import Secret
    from ray_jobs.storage.store import Store

app = typer.Typer()


@app.command(epilog="Example: evolve wait s3://bucket/run && evolve export s3://bucket/run out/sft --format alpaca")
def wait(
    output: Target,
    every: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="How often to look.")] = 15,
    notify: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Then tell this webhook, by a POST of JSON; or '{from: VARIABLE}'."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Wait until nobody works on an output. Exit code 0 where all of it is finished, 10 where the run had stopped."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.jobs.notify import notified
    from ray_jobs.storage.store import open_store

    options = parse_storage(storage)
    with notified(_webhook(notify), output, options, say):
        wait_for(open_store(output, options), lambda: time.sleep(every))
    say(f"{output}: finished")


def _webhook(text: str | None) -> Secret | None:
    from pydantic import TypeAdapter, ValidationError

    from ray_jobs.config.secrets import Webhook
    from ray_jobs.config.values import given_value

    try:
        return None if text is None else TypeAdapter(Webhook).validate_python(given_value(text))
    except (ValidationError, yaml.YAMLError):
        raise ConfigError(
            "--notify: expected a URL that begins with http:// or https://, or {from: VARIABLE}"
        ) from None


def wait_for(store: Store, pause: Callable[[], None]) -> None:
    """Call `pause` for as long as an unfinished output may have a holder that lives.

    A holder of whom only its heartbeat could tell is waited for. Raises Stopped where nobody works on an unfinished
    output; OutputError where no run is.
    """
    while True:
        finished, held = _standing(store)
        if not held:
            break
        pause()
    if not finished:
        raise Stopped(f"{store.url}: not finished, and nobody is working on it; the command that began it goes on")


def _standing(store: Store) -> tuple[bool, bool]:
    """Whether an output, all phases of it, is finished, and whether it may have a holder that lives."""
    from ray_jobs.cli.status import status
    from ray_jobs.jobs.autoif.stores import autoif_stores
    from ray_jobs.jobs.method_search import searches
    from ray_jobs.jobs.stores import stores_of
    from ray_jobs.output import lease

    if searches.is_search(store):
        state = searches.saved_state(store)
        finished, holders = bool(state and state.stopped), [lease.current(store)]
    else:
        stores = stores_of(store)
        states = [status(item) for item in stores.values()]
        begun = "" in stores or len(stores) == len(autoif_stores(store))
        finished, holders = begun and all(state.finished for state in states), [state.holder for state in states]
    return finished, any(holder and holder.alive is not False for holder in holders)
