"""The command that makes a page of an output: `evolve report`."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_jobs.cli.json_output import Json, json_errors, print_json, progress
from ray_jobs.cli.options import Storage, Target
from ray_jobs.cli.terminal import say

app = typer.Typer()


@app.command(epilog="Example: evolve report out/first --gpu-hour-price 2.5")
def report(
    output: Target,
    to: Annotated[str | None, typer.Option(metavar="FOLDER", help="Where to write; by default OUTPUT/report.")] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="EVOLVER", help="What the others are compared with; by default the last one.")
    ] = None,
    gpu_hour_price: Annotated[float | None, typer.Option(min=0, help="The price of a GPU hour.")] = None,
    token_price: Annotated[
        list[str] | None,
        typer.Option(metavar="[POOL=]PROMPT/COMPLETION", help="Prices of a million tokens; repeatable for pools."),
    ] = None,
    selection: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER", help="Show this selection beside others, such as a random one; repeatable."),
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Make one HTML page of an output: counts, scores, costs, examples, and evolvers compared on the same seeds."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.report import make as pages
    from ray_jobs.report.costs import Prices, parse_token_prices
    from ray_jobs.storage.store import open_store
    from ray_jobs.storage.urls import options_for

    with json_errors(as_json):
        prices = Prices(gpu_hour_price, parse_token_prices(token_price or []))
        options = parse_storage(storage)
        store = open_store(output, options)
        place = pages.check_place(store, open_store(to, options_for(to, options)) if to else None)
        selections = {name: open_store(name, options_for(name, options)) for name in selection or ()}
        page = pages.report(store, output, prices, baseline, progress(as_json), selections)
        written = pages.write(page, place)
    if as_json:
        print_json({"report": written[-1], "pictures": list(written[:-1])})
        return
    say(f"report: {written[-1]} and {len(written) - 1} pictures")
