"""The output of a search for whoever reads it: how it stands and the method that it has. Free of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evolve.errors import SearchError
from evolve.method_search.state import Candidate, OptimiserState, StepLog
from ray_jobs.errors import DamagedOutput
from ray_jobs.output import lease, ownership, run_files
from ray_jobs.output.file_names import REPORT, SEARCH
from ray_jobs.storage.store import Store


def is_search(store: Store) -> bool:
    """Whether this is the output of a search, as its mark or, of an earlier version's, its state says."""
    return ownership.kind_of(store) == "search" or store.exists(SEARCH)


def saved_state(store: Store) -> OptimiserState | None:
    """The search after its last finished step; None before the first. Raises DamagedOutput."""
    if not store.exists(SEARCH):
        return None
    try:
        return OptimiserState.from_json(store.read_bytes(SEARCH), store.url_of(SEARCH))
    except SearchError as error:
        raise DamagedOutput(str(error)) from None


def describe(store: Store) -> list[str]:
    """How a search stands, in lines for people: a line a step, and its end. Raises DamagedOutput."""
    state = saved_state(store)
    lines = [_condition(store, state), *(describe_step(step) for step in (state.log if state else ()))]
    if state and state.stopped and store.exists(REPORT):
        try:
            lines += describe_end(run_files.read_json(store, REPORT))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedOutput(f"{store.url_of(REPORT)}: expected the report of a search ({error!r})") from None
    return lines


def _condition(store: Store, state: OptimiserState | None) -> str:
    holder = lease.current(store)
    if holder and holder.alive:
        return f"running  a search, {holder}"
    if holder and holder.alive is None:
        return f"running? {holder} holds this search, and only its heartbeat can tell whether it lives"
    if state and state.stopped:
        return f"finished a search: {state.stopped}"
    return f"stopped  a search, {'after its last finished step' if state else 'before its first step was finished'}"


def describe_method(store: Store) -> Iterator[str]:
    """The method of a search as far as it is, with where it comes from. Raises DamagedOutput."""
    state = saved_state(store)
    if state is None:
        yield "no step is finished: there is no method yet"
        return
    method = state.method
    rates = " -> ".join(f"{rate:.4f}" for rate in method.failure_rates)
    yield f"method {method.fingerprint}, of step {method.step}, failure rates {rates}"
    yield f"evolver {method.models.evolver}, optimiser {method.models.optimiser}"
    yield ""
    yield method.text


def describe_step(step: StepLog) -> str:
    """One step in a line: its candidates, and the failure rate that it ended with."""
    failures = ", ".join(f"{count:,} {rule}" for rule, count in step.score.failures.items()) or "none failed"
    measured = f"failure rate {step.score.rate:.4f} over {step.score.rows:,} dev rows ({failures})"
    if not step.step:
        return f"step 0: the initial method {step.method}: {measured}"
    candidates = ", ".join(_candidate(candidate) for candidate in step.candidates)
    kept = (
        "no candidate is better, the method stays" if step.chosen is None else f"candidate {step.chosen} is the method"
    )
    return f"step {step.step}: candidates: {candidates}; {kept} {step.method}: {measured}"


def _candidate(candidate: Candidate) -> str:
    return f"{candidate.score.rate:.4f}" if candidate.score else candidate.proposal.outcome


def describe_end(report: dict[str, Any]) -> list[str]:
    """The end of a search in lines for people."""
    rates = " -> ".join(f"{rate:.4f}" for rate in report["failure_rates"])
    optimiser = ", ".join(f"{count:,} {name}" for name, count in report["optimiser"].items())
    lines = [
        f"method    {report['method']['fingerprint']}, of step {report['method']['step']}",
        f"rates     {rates} (stopped: {report['stopped']})",
        f"optimiser {optimiser}",
    ]
    for name, pool in report["pools"].items():
        tokens = f"{pool['completion_tokens']:,} tokens written{run_files.given_again(pool)}"
        lines.append(f"engine    {name}: {pool['rows']:,} prompts, {tokens}, {pool['actor_starts']} actor starts")
    return lines
