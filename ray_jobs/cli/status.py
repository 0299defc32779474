"""How an output stands, from its plan and manifest, or the state of its search: no record is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ray_jobs.jobs.autoif import funnel
from ray_jobs.jobs.autoif.stores import autoif_stores, funnel_so_far
from ray_jobs.jobs.method_search import searches
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output import accept, lease, run_files, usage
from ray_jobs.output.counts import CUT, OutcomeCounts
from ray_jobs.output.file_names import SUCCESS
from ray_jobs.output.lease import Holder
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.output.run_files import Session
from ray_jobs.output.schema import KEPT
from ray_jobs.storage.store import Store


@dataclass(frozen=True)
class Status:
    """A run's plan, what is committed of it, who holds it, and its sessions."""

    plan: PlanIndex
    outcome_counts: OutcomeCounts
    holder: Holder | None
    finished: bool
    sessions: list[Session]
    ended: str | None = None
    """Why the last run ended before it was finished, as far as it could say so."""


def status(store: Store) -> Status:
    """Read how a run stands. Raises OutputError where there is none."""
    found, plan = accept.planned(store)
    holder = lease.current(store) or lease.current(store, lease.FIRST_VERSION)
    done = found.manifest.outcome_counts()
    return Status(plan, done, holder, store.exists(SUCCESS), run_files.load_sessions(store), run_files.last_end(store))


def describe_all(store: Store) -> str:
    """The state of an output in lines for people, phase by phase where it has more than one."""
    return "\n".join([_states(store), usage.describe(usage.usage(store))])


def _states(store: Store) -> str:
    if searches.is_search(store):
        return "\n".join(searches.describe(store))
    stores = stores_of(store)
    if "" in stores:
        return describe(status(store))
    lines = []
    for name in autoif_stores(store):
        begun = describe(status(stores[name])).splitlines() if name in stores else ["not begun"]
        lines += [f"phase {name}", *(f"  {line}" for line in begun)]
    return "\n".join([*lines, *funnel.describe(funnel_so_far(stores))])


def describe(state: Status) -> str:
    """The state in lines for people."""
    outcome_counts, plan = state.outcome_counts, state.plan
    outcomes = (
        ", ".join(f"{count:,} {name}" for name, count in sorted(outcome_counts.by_status().items())) or "none yet"
    )
    lines = [
        f"{_condition(state)}",
        f"seeds    {plan.usable_seeds:,} usable, {plan.duplicates:,} duplicates, {plan.unreadable.total():,} unreadable"
        + (f", {plan.held_out:,} held out (dev rows of the method)" if plan.held_out else "")
        + (f", {plan.gone_seeds:,} gone, their rows retracted" if plan.gone_seeds else ""),
        *(f"         {line}" for line in plan.seed_notes),
        f"rows     {outcome_counts.rows:,} of {plan.asked_rows:,} done",
        f"records  {outcomes}",
    ]
    lines += [f"         {count:,} {reason}" for reason, count in run_files.reasons(outcome_counts).items()]
    if (cut := outcome_counts.share(CUT)) is not None:
        lines.append(f"answers  {cut:.1%} of the kept responses ran into their token limit")
    for name, pool in run_files.pools(state.sessions).items():
        rate = pool["tokens_per_actor_second"]
        speed = f"{rate:,.0f} tokens/s an actor" if rate else "no rate yet"
        lines.append(
            f"pool     {name}: {pool['rows']:,} rows, {speed}, {pool['actor_starts']} actor starts"
            f"{run_files.given_again(pool)}{_cost(pool)}"
        )
    return "\n".join(lines)


def _cost(pool: dict[str, Any]) -> str:
    """What a pool has taken, as far as its configuration says what an actor takes."""
    taken = {"GPU-hours": pool.get("gpu_hours"), "of money": pool.get("cost")}
    return "".join(f", {amount:,.2f} {what}" for what, amount in taken.items() if amount)


def _condition(state: Status) -> str:
    if state.holder and state.holder.alive:
        return f"running  {state.holder}"
    if state.holder and state.holder.alive is None:
        return f"running? {state.holder} holds it, and only its heartbeat can tell whether it lives"
    if state.finished:
        return "finished"
    counts = state.outcome_counts
    if state.plan.rows and counts.rows == state.plan.asked_rows and not counts.by_status()[KEPT]:
        return "ended    nothing was kept; the same command ends alike, `evolve retry-failed` runs failed rows again"
    if state.ended:
        return f"stopped  {state.ended.removeprefix('stopped ')}"
    return "stopped  without a word, as by a kill or a lost machine; the same command goes on"
