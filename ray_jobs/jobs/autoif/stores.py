"""Where the outputs of AutoIF's phases lie, and the funnel in their reports. Free of Ray, for whoever only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray_jobs.errors import DamagedOutput
from ray_jobs.jobs.autoif import funnel
from ray_jobs.output import accept
from ray_jobs.output.file_names import REPORT, SUCCESS
from ray_jobs.output.run_files import read_json
from ray_jobs.storage.store import Store

AUGMENT, INSTRUCTIONS, RESPONSES = "augment", "instructions", "responses"
"""The phases. The first two have folders of these names in the output; the last one's is the output itself."""


def autoif_stores(store: Store) -> dict[str, Store]:
    """The outputs of the phases of a run in `store`, in order, whether they have begun or not."""
    return {AUGMENT: store.below(AUGMENT), INSTRUCTIONS: store.below(INSTRUCTIONS), RESPONSES: store}


def funnel_so_far(stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    """The funnel of a run by `autoif_stores`: of finished phases, and of the responses as far as they are committed."""
    finished = [name for name in (INSTRUCTIONS, AUGMENT) if name in stores and stores[name].exists(SUCCESS)]
    steps = funnel_of(stores[finished[0]]) if finished else []
    if RESPONSES in stores:
        steps += funnel.as_plain(funnel.of_answers(accept.load(stores[RESPONSES]).manifest.outcome_counts()))
    return steps


def funnel_of(store: Store) -> list[dict[str, Any]]:
    """The funnel in the report of a finished phase. Raises DamagedOutput where it has none."""
    steps = read_json(store, REPORT).get("funnel")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise DamagedOutput(f"{store.url_of(REPORT)}: expected a report with a funnel; the next run writes it anew")
    return steps
