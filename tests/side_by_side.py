"""How tests are dealt out where several processes run them (`pytest -n 2`, see the Makefile).

A file goes to one process, so that what its tests share is made once. Files whose tests start Ray or load a model go
first: one of those alone at the end would be waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/evolve/autoif/": "sandbox",
    "tests/evolve/sandbox/": "sandbox",
    "tests/ray_jobs/forecast/test_phases.py": "sandbox",
    "tests/ray_jobs/jobs/autoif/": "sandbox",
    "tests/ray_jobs/test_old_outputs.py": "sandbox",
}
"""Beginning of a path -> what its tests share with other files: who counts all sandboxes wants no other beside."""
HEAVY = ("ray", "engine", "slow")


def unit_of(node_id: str) -> str:
    """What goes to one process as a whole."""
    path = node_id.split("::")[0]
    return next((unit for start, unit in TOGETHER.items() if path.startswith(start)), path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put whole units in their order, in each of several processes."""
    if not hasattr(config, "workerinput"):
        return
    ranks = dict[str, int]()
    for item in items:
        rank = next((place for place, mark in enumerate(HEAVY) if item.get_closest_marker(mark)), len(HEAVY))
        unit = unit_of(item.nodeid)
        ranks[unit] = min(rank, ranks.get(unit, rank))
    items.sort(key=lambda item: ranks[unit_of(item.nodeid)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Deal out units in the order in which their first tests stand."""
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)  # type: ignore[arg-type]
