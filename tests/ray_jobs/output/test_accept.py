"""What a look at an output asks of its store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ray_jobs.output import accept
from ray_jobs.output.epochs import begin
from ray_jobs.output.lease import take
from ray_jobs.output.plan_index import PlanIndex
from tests.ray_jobs.samples import commit_part, new_epoch
from tests.ray_jobs.takeover.stepped import MemoryStore, in_a_store


class Counted(MemoryStore):
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked = list[str]()

        def noted(name: str, do: Callable[[], Any]) -> Any:
            self.asked.append(name)
            return do()

        super().__init__(in_a_store(), noted)

    def of(self, look: Callable[[], object]) -> Counter[str]:
        """The requests that `look` makes."""
        self.asked.clear()
        look()
        return Counter(self.asked)


def output(planned: bool = True) -> Counted:
    """An output with three parts, all in the entries of its one epoch."""
    store = Counted()
    epoch = new_epoch(store)
    if planned:
        epoch.add_plan(PlanIndex(rows=6), 0)
        for row in (0, 2, 4):
            commit_part(epoch, row, row + 1)
    return store


def test_whether_rows_are_planned_is_told_without_their_parts() -> None:
    store = output()
    asked = store.of(lambda: accept.is_planned(store))
    assert accept.is_planned(store)
    assert not [name for name in asked if name.startswith("read entries")]
    later = begin(store, take(store))
    assert accept.is_planned(store)
    assert len(later.accepted.parts) == 3
    assert not accept.is_planned(output(planned=False))


def test_the_epochs_are_listed_before_and_after_what_is_read_and_no_more() -> None:
    store = output()
    assert store.of(lambda: accept.load(store))["list epochs"] == 2
    held = take(store)
    assert store.of(lambda: begin(store, held))["list epochs"] == 1
