"""The outputs of a run's jobs, told by what lies in an output. Free of Ray, for whoever only reads."""

from __future__ import annotations

from ray_jobs.jobs.autoif.stores import autoif_stores
from ray_jobs.output import accept
from ray_jobs.storage.store import Store


def stores_of(store: Store) -> dict[str, Store]:
    """The outputs of an output's jobs that have a plan, by the names of the phases; "" where there is one alone."""
    phases = autoif_stores(store)
    begun = {name: phase for name, phase in phases.items() if accept.is_planned(phase)}
    return begun if next(iter(phases)) in begun else {"": store}
