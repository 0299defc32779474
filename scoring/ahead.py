"""Work that is done one step before it is asked for."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` of each item, in order. While the caller uses one result, a thread makes the next, never more."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        upcoming = None
        for item in items:
            current, upcoming = upcoming, thread.submit(work, item)
            if current:
                yield current.result()
        if upcoming:
            yield upcoming.result()
