"""Makes the report of an output and writes it: `index.html`, which stands alone, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from evolve.masking import mask_url
from ray_jobs.errors import ConfigError
from ray_jobs.output import ownership
from ray_jobs.report.analysed import read_analyses
from ray_jobs.report.costs import Prices, pool_costs
from ray_jobs.report.gather import Say, gather
from ray_jobs.report.inputs import Inputs, read_inputs
from ray_jobs.report.page import INDEX, Page, make_page, pictures_of
from ray_jobs.report.selected import read_selection
from ray_jobs.report.view import View
from ray_jobs.storage.store import Store

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
    shown = [read_selection(name, selection, say) for name, selection in selections.items()]
    say("drawing")
    return make_page(View(mask_url(place), inputs, gathered, analyses, chosen, pools, shown))


def check_place(store: Store, place: Store | None) -> Store:
    """Where the report of the output in `store` is to be written: `place`, or by default a folder of the output.

    Raises OutputError where anything else is there, or `place` lies in the output or around it.
    """
    target = store.below(FOLDER)
    if place is not None and ownership.overlap(place, target) != "same":
        ownership.refuse_overlap(place, store)
        target = place
    ownership.check_place(target, "report")
    return target


def write(page: Page, target: Store) -> Sequence[str]:
    """Write the page's files, and remove pictures that only an earlier one had; their URLs, the page's last.

    Raises OutputError where anything but a report is in `target`.
    """
    ownership.claim(target, "report")
    earlier = pictures_of(target.read_bytes(INDEX).decode(errors="replace")) if target.exists(INDEX) else []
    for name, data in page.files().items():
        target.write_bytes(name, data)
    target.delete(name for name in earlier if name not in page.pictures and ownership.is_ours(name, "report"))
    return [target.url_of(name) for name in page.files()]


def _baseline(inputs: Inputs, wanted: str | None) -> str | None:
    if wanted is None:
        return inputs.evolvers[-1] if len(inputs.evolvers) > 1 else None
    if wanted not in inputs.evolvers:
        known = ", ".join(inputs.evolvers) or "none"
        raise ConfigError(f"--baseline {wanted}: expected an evolver of the output, one of {known}")
    return wanted
