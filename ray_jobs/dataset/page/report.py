"""Makes the report of an output and writes it: `index.html`, which stands alone, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ray_jobs.dataset.page.analysed import read_analyses
from ray_jobs.dataset.page.costs import Prices, pool_costs
from ray_jobs.dataset.page.gather import Say, gather
from ray_jobs.dataset.page.inputs import Inputs, read_inputs
from ray_jobs.dataset.page.page import INDEX, Page, make_page, pictures_of
from ray_jobs.dataset.page.selected import read_selection
from ray_jobs.dataset.page.view import View
from ray_jobs.errors import ConfigError
from ray_jobs.storage import Store

FOLDER = "report"
"""Where in an output its report lies."""


def report(
    store: Store,
    place: str,
    prices: Prices | None = None,
    baseline: str | None = None,
    say: Say = print,
    selections: Mapping[str, Store] = MappingProxyType({}),
) -> Page:
    """The page of the output in `store`, which a user calls `place`. Reads every record once, in bounded memory.

    `baseline` is the evolver that the others are compared with, by default the last one in the configuration;
    `selections` are shown beside each other, by what a user calls them. Raises OutputError where there is no output or
    no selection, ConfigError where the output does not have the baseline or a priced pool.
    """
    inputs = read_inputs(store)
    chosen, pools = _baseline(inputs, baseline), pool_costs(inputs, prices or Prices())
    gathered = gather(inputs, say)
    analyses = read_analyses(store, gathered)
    shown = [read_selection(name, one, say) for name, one in selections.items()]
    say("drawing")
    return make_page(View(place, inputs, gathered, analyses, chosen, pools, shown))


def write(page: Page, target: Store, folder: str = "") -> Sequence[str]:
    """Write the page's files, and remove pictures that only an earlier one had; their URLs, the page's last."""
    place = target.below(folder) if folder else target
    earlier = pictures_of(place.read_bytes(INDEX).decode(errors="replace")) if place.exists(INDEX) else []
    for name, data in page.files().items():
        place.write_bytes(name, data)
    place.delete(name for name in earlier if name not in page.pictures)
    return [place.url_of(name) for name in page.files()]


def _baseline(inputs: Inputs, wanted: str | None) -> str | None:
    if wanted is None:
        return inputs.evolvers[-1] if len(inputs.evolvers) > 1 else None
    if wanted not in inputs.evolvers:
        known = ", ".join(inputs.evolvers) or "none"
        raise ConfigError(f"--baseline {wanted}: expected an evolver of the output, one of {known}")
    return wanted
