"""The protocol of docs/takeover.md as a small model, and a search of everything that two or three drivers can do in it.

A driver is a generator that yields requests and gets their answers. The store applies one request after another.
Between any two, the scheduler may let another driver go on, for as long as it likes; may kill one, with its request
lost or still under way; and may let a request that is under way arrive. All of that is searched, not sampled.

`without` leaves rules out, by the names in RULES: each is needed, and the search shows what for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

RULES = ("void", "clean staged", "only earlier", "look to publish", "look to delete", "look to finish", "copy mark")
RETRACTING = "rewrite"
"""The rule that is needed where rows are retracted."""
Request = tuple[Any, ...]
File = tuple[str, int, str, tuple[int, ...]]
"""Where it lies ("staged" or "data"), the epoch that made it, its name, the rows in it."""
Store = frozenset[tuple[Any, ...]]
"""("lease", e), ("seal", e, files, rows) or ("seal", e, None), ("entry", e, kind, ...), ("file", File), ("mark", e).

An entry of kind "plan" adds rows and retracts others.
"""
Answers = tuple[Any, ...]
Driver = Callable[[], Generator[Request, Any, None]]


def driver(asked: tuple[int, ...], without: frozenset[str], retracts: bool = False, numbered: bool = False) -> Driver:
    """What a run does that is asked for the rows of these seeds, request by request.

    Where it `retracts`, rows of other seeds are planned no more. Rows are their seeds, or `numbered`, with the epoch in
    which they were planned: a seed that is back gets another row.
    """

    def run() -> Generator[Request, Any, None]:
        e = (yield ("latest lease",)) + 1
        if not (yield ("create", ("lease", e))):
            return
        for earlier in range(1, e) if "void" not in without else ():
            yield ("create", ("seal", earlier, None))
        live, plan = yield ("read before", e)
        if not (yield ("create", ("seal", e, live, plan))):
            return
        if "clean staged" not in without:
            yield from _clean("staged", e, live)
        yield ("unmark",)
        yield from _clean("data", e, live, "only earlier" not in without)
        there = {row % 10 for row in plan}
        new = tuple(seed + 10 * e * numbered for seed in asked if seed not in there)
        gone = tuple(row for row in plan if retracts and row % 10 not in asked)
        if new or gone:
            yield ("put", ("entry", e, "plan", new, gone))
            plan = tuple(sorted({*plan, *new} - {*gone}))
        for row in plan:
            if row not in rows_of(live):
                part: File = ("staged", e, "part", (row,))
                yield ("put", ("file", part))
                yield ("put", ("entry", e, "add", part))
                live |= {part}
        held = rows_of(live) if "rewrite" in without else [row for row in rows_of(live) if row in plan]
        if len(live) != 1 or next(iter(live))[0] != "data" or held != rows_of(live):
            joined = yield from _join(e, live, tuple(held), without)
            if joined is None:
                return
        yield from _finish(e, without)

    return run


def _clean(place: str, e: int, live: frozenset[File], only_earlier: bool = True) -> Generator[Request, Any, None]:
    for file in (yield ("list", place)):
        if file not in live and (file[1] < e or not only_earlier):
            yield ("delete", ("file", file))


def _join(
    e: int, live: frozenset[File], rows: tuple[int, ...], without: frozenset[str]
) -> Generator[Request, Any, File | None]:
    staged, published = (("staged", e, "joined", rows), ("data", e, "joined", rows))
    yield ("put", ("file", staged))
    if "look to publish" not in without and (yield ("exists", ("lease", e + 1))):
        return None
    if not (yield ("copy", ("file", staged), ("file", published))):
        return None
    yield ("put", ("entry", e, "swap", published, live))
    if "look to delete" not in without and (yield ("exists", ("lease", e + 1))):
        return None
    for file in (*sorted(live), staged):
        yield ("delete", ("file", file))
    return published


def _finish(e: int, without: frozenset[str]) -> Generator[Request, Any, None]:
    staged = ("file", ("staged", e, "mark", ()))
    yield ("put", staged)
    if "look to finish" not in without and (yield ("exists", ("lease", e + 1))):
        return
    yield ("mark", e) if "copy mark" in without else ("copy", staged, ("mark", e))


def rows_of(files: frozenset[File]) -> list[int]:
    """The rows in some files, as often as they are there."""
    return sorted(row for file in files for row in file[3])


def accepted(store: Store, below: int) -> tuple[frozenset[File], tuple[int, ...]]:
    """The files and planned rows that count of the epochs before `below`."""
    seals = sorted(
        (item for item in store if item[0] == "seal" and item[2] is not None and item[1] < below), reverse=True
    )
    if not seals:
        return frozenset(), ()
    _, epoch, files, plan = seals[0]
    entries = [item for item in store if item[0] == "entry" and item[1] == epoch]
    planned = {row for entry in entries if entry[2] == "plan" for row in entry[3]}
    added = {entry[3] for entry in entries if entry[2] in ("add", "swap")}
    gone = {file for entry in entries if entry[2] == "swap" for file in entry[4]}
    retracted = {row for entry in entries if entry[2] == "plan" for row in entry[4]}
    return frozenset((files | added) - gone), tuple(sorted({*plan, *planned} - retracted))


def apply(store: Store, request: Request) -> tuple[Store, Any]:
    """The store after a request, and its answer."""
    match request:
        case ("latest lease",):
            return store, max((item[1] for item in store if item[0] == "lease"), default=0)
        case ("create", thing):
            there = any(item[:2] == thing[:2] for item in store)
            return (store, False) if there else (store | {thing}, True)
        case ("read before", epoch):
            return store, accepted(store, epoch)
        case ("exists", thing):
            return store, thing in store
        case ("put", thing):
            return store | {thing}, True
        case ("list", place):
            return store, tuple(sorted(item[1] for item in store if item[0] == "file" and item[1][0] == place))
        case ("delete", thing):
            return store - {thing}, True
        case ("copy", source, target):
            return (_with(store, target), True) if source in store else (store, False)
        case ("unmark",):
            return frozenset(item for item in store if item[0] != "mark"), True
        case ("mark", _):
            return _with(store, request), True
    raise AssertionError(request)


def _with(store: Store, thing: tuple[Any, ...]) -> Store:
    return frozenset(item for item in store if thing[0] != "mark" or item[0] != "mark") | {thing}


def broken(store: Store) -> str | None:
    """What is wrong with a store: an accepted file that is gone, a row that counts twice, a mark that lies."""
    live, plan = accepted(store, 1 << 30)
    if lost := [file for file in live if ("file", file) not in store]:
        return f"an accepted file is gone: {lost[0]}"
    if len(rows := rows_of(live)) != len(set(rows)):
        return f"a row counts twice: {rows}"
    if any(item[0] == "mark" for item in store):
        seen = rows_of(frozenset(item[1] for item in store if item[0] == "file" and item[1][0] == "data"))
        if seen != list(plan):
            return f"marked as finished: planned are {plan}, plain readers see {seen}"
    return None


def search(
    asked: list[tuple[int, ...]],
    without: frozenset[str] = frozenset(),
    limit: int = 50_000_000,
    retracting: Collection[int] = (),
) -> str | int:
    """Search everything: how many states there are, or what is wrong with the first bad one that is met.

    The drivers with the numbers `retracting` retract what they are not asked for. Raises AssertionError where more than
    `limit` states are met.
    """
    drivers = [
        driver(rows, without, number in retracting, numbered=bool(retracting)) for number, rows in enumerate(asked)
    ]
    # a driver is what it was answered so far, or what of it is still under way after its death
    start = (frozenset[tuple[Any, ...]](), tuple(("alive", ()) for _ in drivers))
    seen, waiting = {hash(start)}, [start]
    while waiting:
        store, states = waiting.pop()
        for number, after, changed in _steps(store, states, drivers):
            following = (after, (*states[:number], changed, *states[number + 1 :]))
            key = hash(following)
            if key in seen:
                continue
            if after != store and (why := broken(after)):
                return why
            seen.add(key)
            assert len(seen) <= limit, "too many states"
            waiting.append(following)
    return len(seen)


def _steps(store: Store, states: Any, drivers: list[Driver]) -> Iterator[tuple[int, Store, Any]]:
    """Each thing that may happen next: to which driver, the store after it, and the driver after it."""
    for number, (condition, known) in enumerate(states):
        if condition == "under way":
            yield number, apply(store, known)[0], ("dead", ())
        elif condition == "alive" and (request := _request(drivers[number], known)):
            after, answer = apply(store, request)
            yield number, after, ("alive", (*known, answer))
            yield number, store, ("dead", ())
            if request[0] not in ("latest lease", "read before", "exists", "list"):
                yield number, store, ("under way", request)


def _request(driver: Driver, answers: Answers) -> Request | None:
    """What a driver asks for after these answers; None where it has ended."""
    running = driver()
    try:
        request = next(running)
        for answer in answers:
            request = running.send(answer)
    except StopIteration:
        return None
    return request
