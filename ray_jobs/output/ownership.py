"""What in a place is ours: the mark by which a place is known, and the form of every file that we write below it.

The mark is the first object made in any place that this program writes to, by conditional creation. Nothing is begun
in a place that holds other files, and nothing without the form of one of ours is ever removed or replaced, so that
`output: .` in somebody's project harms nothing.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

from ray_jobs.config.kinds import ANALYSES
from ray_jobs.errors import DamagedOutput, MissingFile, OutputError
from ray_jobs.output.file_names import FIRST_FORMS, FORMS, NAME, REPLY_FORM, STAGED_FORM, when_written
from ray_jobs.output.run_files import RUN_FIELDS
from ray_jobs.storage.store import Store

MARK = "_slm_evolve.json"
MADE_BY, FORMAT = "slm-evolve", 2
Kind = Literal["run", "search", "selection", "export", "analysis", "report"]
FIRST_RUN_FIELDS = RUN_FIELDS - {"job"} | {"kind"}
"""What run.json holds in the first version."""
_TITLES: Mapping[Kind, str] = {
    "run": "a run",
    "search": "a search",
    "selection": "a selection",
    "export": "an export",
    "analysis": "an analysis",
    "report": "a report",
}

_SHARD = r"\d{5,}"
_HELD = (
    re.escape(MARK),
    r"epochs/\d{6,}\.(lease|beat|seal)",
    r"lease/\d{6,}\.(json|beat)",
    r"plan/index\.json",
    r"\.probe-[0-9a-f]{32}",
)
"""The mark, the leases and seals, and what a look whether the place can be written to leaves if it is killed."""
_RUN = (
    *_HELD,
    *FORMS,
    *FIRST_FORMS,
    r"(run|report)\.json",
    r"README\.md",
    "_SUCCESS",
    r"sessions/\d{6,}(-\d+|-end)?\.json",
    REPLY_FORM,
)
_ANALYSIS = (*_RUN, r"summary\.json", rf"data/{_SHARD}\.parquet", rf"data/{NAME}-\d{{10,}}\.parquet")
_PICTURES = (
    "comparison|difficulty-level|difficulty-levels|difficulty-score|evolution-reward|funnel|ic-ifd|ifd|instruction-words|"
    "mean-top1-prob|neighbour-distance|operators|output-words|reward|tokens|top1-positions|yields|analysis-[a-z0-9-]+"
)
_REPORT = (re.escape(MARK), r"index\.html", rf"({_PICTURES})(-narrow)?\.png")
_MEASURED = "|".join(map(re.escape, [*ANALYSES.names(), "embeddings"]))


def _below(folder: str, patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(rf"(?:{folder})/{pattern}" for pattern in patterns)


_BESIDE = (*_below(rf"analyses/(?:{_MEASURED})", _ANALYSIS), *_below("report", _REPORT))
"""What later commands leave in a dataset."""
PATTERNS: Mapping[Kind, Sequence[str]] = {
    "run": (*_RUN, *_below("augment|instructions", _RUN), *_BESIDE),
    "search": (
        *_HELD,
        STAGED_FORM,
        r"(search|optimize|method|report)\.json",
        r"sessions/\d{6,}(-\d+|-end)?\.json",
    ),
    "selection": (*_HELD, rf"data/{_SHARD}\.parquet", r"README\.md", r"selection\.json", *_BESIDE),
    "export": (
        *_HELD,
        rf"(train|validation)/{_SHARD}\.(jsonl|parquet)",
        r"(dataset_info|export)\.json",
        r"recipe-\w+\.yaml",
        r"README\.md",
    ),
    "analysis": _ANALYSIS,
    "report": _REPORT,
}
"""The paths, below a place of each kind, of all that is written there; regular expressions for a whole path."""
_COMPILED = {kind: re.compile("|".join(patterns), re.ASCII) for kind, patterns in PATTERNS.items()}
_EPOCH = re.compile(r"(?P<place>(?:.*/)?)epochs/\d{6,}\.(?:lease|beat|seal)", re.DOTALL)
_LOOKED_AT = 20
_NOBODYS = frozenset({"", "lost+found", ".DS_Store", MARK})
"""What systems put into a folder by themselves; "" is the object by which consoles show an empty folder.

Also the mark, of another that claims the place just now.
"""
_BEFORE_PLAN = frozenset({"run.json", "lease", "sessions", "plan"})
"""All that a run has before its plan stands."""
_LOCAL_ANALYSIS = frozenset({"data", "summary.json", "_SUCCESS"})
_PAGE = b'<meta name="pictures" content="'


def is_ours(path: str, kind: Kind = "run") -> bool:
    """Whether `path`, relative to a place of this kind, has the form of a file that this program writes there.

    It says nothing about a file of that form in a place that is not ours.
    """
    return _COMPILED[kind].fullmatch(when_written(path)) is not None


def kept_for_good(paths: Sequence[str]) -> set[str]:
    """Those files of an output that no run takes away: its mark, and what tells of the epochs of each place in it.

    Leases and seals go on with their numbers, so that a run which is suspended mistakes no later one for its own.
    """
    epochs = {path: found["place"] for path in paths if (found := _EPOCH.fullmatch(path))}
    beside = {place + name for place in epochs.values() for name in (MARK, "plan/index.json")}
    return {*epochs, *beside, MARK} & set(paths)


def foreign(paths: Iterable[str], kind: Kind = "run") -> list[str]:
    """Those of `paths` that are not ours, nor put there by a system itself."""
    return [path for path in paths if not is_ours(path, kind) and path.rpartition("/")[2] not in _NOBODYS]


def named(paths: Sequence[str]) -> str:
    """Up to three of the paths, and how many more there are, for messages."""
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def claim(store: Store, kind: Kind) -> None:
    """Make the place ours, or find that it is, before anything else is written to it.

    An empty or a new place gets our mark; so does one that the version before this one began. One that carries the
    mark of this kind stays as it is, whatever else lies there. Of several callers at once those of one kind all
    succeed; of two kinds one does. Costs and raises as `check_place` does.
    """
    if not check_place(store, kind) and not store.create_exclusive(MARK, _mark(kind)):
        marked(store, kind)


def check_place(store: Store, kind: Kind) -> bool:
    """Whether the place carries our mark of this kind; without one it is new, empty or begun by the version before.

    Costs one small read where the mark stands, and never more than a page of a listing. Raises OutputError, which
    names what was found there, for every other place.
    """
    if marked(store, kind):
        return True
    found = [name for name in store.first_names(_LOOKED_AT) if when_written(name) not in _NOBODYS]
    if not found or _begun_before(store, kind, found):
        return False
    # another may have claimed it since we looked
    if marked(store, kind):
        return True
    raise OutputError(
        f"{store.url}: expected an empty or a new place, or {_TITLES[kind]} of this program, found {named(found)}; "
        "choose another place, or move these away"
    )


def marked(store: Store, kind: Kind) -> bool:
    """Whether the place carries our mark of this kind. Raises OutputError where the mark is of another kind."""
    holds = kind_of(store)
    if holds is None or holds == kind:
        return holds is not None
    raise OutputError(f"{store.url}: holds {_TITLES[holds]}, expected {_TITLES[kind]} or an empty or a new place")


def kind_of(store: Store) -> Kind | None:
    """What the mark says that the place holds; None without a mark.

    Raises DamagedOutput where the mark is not one of ours, OutputError where a later version made it.
    """
    try:
        mark = json.loads(store.read_bytes(MARK))
    except MissingFile:
        return None
    except ValueError:
        mark = None
    if not isinstance(mark, dict) or mark.get("made_by") != MADE_BY or mark.get("holds") not in get_args(Kind):
        raise DamagedOutput(f"{store.url_of(MARK)}: expected the mark of this program, got something else")
    if not isinstance(mark.get("format"), int) or mark["format"] > FORMAT:
        raise OutputError(f"{store.url_of(MARK)}: was made by a later version of this program, use that one")
    holds: Kind = mark["holds"]
    return holds


def refuse_dangerous(store: Store) -> None:
    """Raise OutputError where nobody can want everything below the place removed.

    That is the root of a disk or of a bucket, a home, the folder one stands in, a mount point, and all above these.
    """
    folder = store.folder
    if folder is None:
        if "/" not in store.url.partition("://")[2].strip("/"):
            raise OutputError(f"{store.url}: is a whole bucket, whose content is not removed; use a folder in it")
        return
    folder = folder.resolve()
    if folder == Path(folder.anchor):
        raise OutputError(f"{store.url}: is the root of the disk, whose content is not removed")
    if Path.cwd().is_relative_to(folder):
        raise OutputError(f"{store.url}: is the current folder or above it, whose content is not removed")
    if any(home.is_relative_to(folder) for home in _homes()):
        raise OutputError(f"{store.url}: is somebody's home or above one, whose content is not removed")
    if os.path.ismount(folder):
        raise OutputError(f"{store.url}: is a mount point, whose content is not removed; use a folder in it")


def overlap(store: Store, other: Store) -> Literal["same", "inside", "around"] | None:
    """How the place `store` lies to `other`: the same, inside it, around it; None for apart.

    Symbolic links of a disk are followed; two names of one object store are not known to be one.
    """
    first, second = _place(store), _place(other)
    if first == second:
        return "same"
    if first[: len(second)] == second:
        return "inside"
    return "around" if second[: len(first)] == first else None


def refuse_overlap(target: Store, source: Store) -> None:
    """Raise OutputError where what is written to `target` would lie in `source`, or the other way round."""
    match overlap(target, source):
        case "same":
            raise OutputError(f"{target.url}: is what is read; give the result a place of its own")
        case "inside" | "around" as how:
            raise OutputError(f"{target.url}: lies {how} {source.url}, which is read; give the result a place apart")


def _place(store: Store) -> tuple[str, ...]:
    if store.folder is not None:
        return store.folder.resolve().parts
    return tuple(part for part in store.url.split("/") if part)


def _homes() -> set[Path]:
    folders = {Path(entry.pw_dir) for entry in pwd.getpwall()} | {Path.home()}
    return {folder.resolve() for folder in folders if folder.is_absolute()}


def _mark(kind: Kind) -> bytes:
    return json.dumps({"made_by": MADE_BY, "holds": kind, "format": FORMAT}).encode()


def _begun_before(store: Store, kind: Kind, found: Sequence[str]) -> bool:
    """Whether a version without marks has begun this here."""
    match kind:
        case "run":
            # the output of a run in phases is begun in a folder of its own
            return _is_run(store, found) or any(_is_run(store.below(phase)) for phase in ("augment", "instructions"))
        case "search":
            return {"result_settings", "configuration", "versions"} <= _fields(store, "optimize.json")
        case "analysis":
            return _is_run(store, found) or (_LOCAL_ANALYSIS.issuperset(found) and _is_summary(store))
        case "report":
            return not foreign(found, "report") and _PAGE in (_content(store, "index.html") or b"")
        case _:
            return False


def _is_run(store: Store, found: Sequence[str] = ()) -> bool:
    fields = _fields(store, "run.json")
    if fields >= RUN_FIELDS | {"format"}:
        # whoever copied it left the mark behind
        return True
    if not fields >= FIRST_RUN_FIELDS:
        return False
    return store.exists("plan/index.json") or (bool(found) and _BEFORE_PLAN.issuperset(found))


def _is_summary(store: Store) -> bool:
    entries = _json(store, "summary.json")
    return isinstance(entries, list) and all(
        isinstance(entry, dict) and {"evolver", "round"} <= entry.keys() for entry in entries
    )


def _fields(store: Store, path: str) -> Set[str]:
    value = _json(store, path)
    return value.keys() if isinstance(value, dict) else set()


def _json(store: Store, path: str) -> Any:
    """The value in a file; None where there is none, or it is no JSON."""
    content = _content(store, path)
    with suppress(ValueError):
        return None if content is None else json.loads(content)
    return None


def _content(store: Store, path: str) -> bytes | None:
    with suppress(MissingFile):
        return store.read_bytes(path)
    return None
