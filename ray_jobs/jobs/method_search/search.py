"""One search for a better method on one output; the same call begins a search and resumes it at its last finished step.

The search itself is evolve.method_search.search, which runs in this process; the models run in actors that stay loaded
for all of it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ray.exceptions import RayError

from evolve.engine import Engine
from evolve.errors import SearchError
from evolve.method_search.config import Engines
from evolve.method_search.propose import OPTIMISE_TEMPLATE
from evolve.method_search.search import optimise
from evolve.method_search.state import OptimiserState
from ray_jobs.config.identity import changes, fingerprint
from ray_jobs.errors import OutputError, SettingsChanged, Stopped
from ray_jobs.jobs.earlier_defaults import with_defaults_of
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.jobs.method_search.engines import SearchPools
from ray_jobs.jobs.method_search.journal import StepJournal
from ray_jobs.jobs.method_search.preflight import Prepared, prepare
from ray_jobs.jobs.method_search.report import SearchDisplay, search_report
from ray_jobs.jobs.method_search.rows import task
from ray_jobs.jobs.method_search.searches import describe_step, saved_state
from ray_jobs.jobs.thinking import told
from ray_jobs.output import lease, ownership, run_files
from ray_jobs.output.epochs import Epoch, begin
from ray_jobs.output.file_names import REPORT, RUN, SEARCH
from ray_jobs.pipeline.journal import JournalPlace
from ray_jobs.pipeline.monitor import Monitor
from ray_jobs.runner.cluster import cluster
from ray_jobs.runner.ray_errors import job_error
from ray_jobs.runner.signals import StopRequest
from ray_jobs.runner.watch import POLL_SECONDS, Execution, watch
from ray_jobs.runner.watchdog import Watchdog
from ray_jobs.storage.store import Store, open_store

SETTINGS, METHOD = "optimize.json", "method.json"
FORMER_PROMPT = "49874de7aaf2ec49"
"""The digest of the optimiser's prompt that version 0.1 shipped."""
Say = Callable[[str], None]


def optimize(config: OptimizeConfig, verbose: bool = False, say: Say = print) -> dict[str, Any]:
    """Begin or resume the search of `config`, and return its report once it has ended.

    Raises ConfigError before anything starts, SeedError, StorageError, OutputError where another search is at work,
    PoolError, and Stopped after SIGINT or SIGTERM; finished steps are saved.
    """
    store = open_store(config.output, config.storage)
    set_back: Mapping[str, Any] = {}
    if store.exists(SEARCH) and store.exists(SETTINGS):
        config, set_back = with_defaults_of(config, run_files.read_json(store, SETTINGS))
    prepared = prepare(config)
    told(say, set_back, config)
    ownership.claim(store, "search")
    holder = lease.acquire(store)
    try:
        epoch = begin(store.retrying(config.limits.storage_seconds), holder.lease)
        # a cache, for which nothing waits
        place = JournalPlace(store, holder.lease.tag, fingerprint(prepared.settings), "", 0)
        journal = StepJournal(place, config.limits, holder.check)
        return _Search(config, prepared, epoch, holder, verbose, say, set_back, journal).complete()
    finally:
        holder.release()


@dataclass
class _Search:
    config: OptimizeConfig
    prepared: Prepared
    epoch: Epoch
    holder: lease.LeaseHolder
    verbose: bool
    say: Say
    set_back: Mapping[str, Any]
    journal: StepJournal
    request: StopRequest = field(default_factory=StopRequest)
    state: OptimiserState | None = None

    @property
    def store(self) -> Store:
        """The output."""
        return self.epoch.store

    def complete(self) -> dict[str, Any]:
        """Go on with what is saved until the search has ended, then write method and report."""
        self.epoch.clean()
        self._settle_settings()
        self.state = saved_state(self.store)
        rows = self.prepared.rows
        self.say(f"search: {rows.seeds:,} seeds, {len(rows.dev):,} dev rows, {len(rows.pool):,} for mini-batches")
        for step in self.state.log if self.state else ():
            self.say(f"{describe_step(step)} (saved)")
        if self.state is None or self.state.stopped is None:
            self._execute()
        assert self.state is not None
        self.epoch.publish(METHOD, self.state.method.to_json())
        result = search_report(self.state, run_files.load_sessions(self.store))
        self.epoch.publish(REPORT, json.dumps(result, indent=1).encode())
        return result

    def _settle_settings(self) -> None:
        """Refuse an output of something else, and settings that give another method; record these."""
        if self.store.exists(RUN) or self.epoch.accepted.plan:
            raise OutputError(f"{self.store.url}: this is the output of a run; give the search one of its own")
        if self.store.exists(SEARCH):
            before = run_files.read_json(self.store, SETTINGS)["result_settings"]
            if lines := changes(before, self.prepared.settings):
                if before.get(f"templates.{OPTIMISE_TEMPLATE}") == FORMER_PROMPT:
                    lines.append("the prompt was version 0.1's; docs/auto_evol.md says how the search goes on with it")
                raise SettingsChanged(
                    f"{self.store.url}: this search was begun with other settings; use them, or another output\n"
                    + "\n".join(f"  {line}" for line in lines)
                )
        content = {
            "result_settings": self.prepared.settings,
            run_files.SET_BACK: sorted(self.set_back),
            "configuration": self.config.model_dump(mode="json", exclude={"storage": True, "seeds": {"storage"}}),
            "versions": run_files.versions(),
        }
        self.epoch.publish(SETTINGS, json.dumps(content, indent=1).encode())

    def _execute(self) -> None:
        """Load the engines and search until the end."""
        engines = self.config.engines
        sizes = {name: engine.pool.size for name, engine in engines.items()}
        cpus = 1 + int(sum(engine.pool.size * engine.pool.cpus for engine in engines.values()))
        with cluster(self.config.ray, cpus, self.verbose), self.request.listening():
            monitor = Monitor.create(engines)
            pools = SearchPools.start(engines, monitor)
            given_up = threading.Event()
            execution = Execution(lambda: asyncio.run(_until(given_up, self._search(pools))))
            display = SearchDisplay(self.store, self.holder.lease.number, self.say, self.journal.given_again)
            execution.start()
            try:
                watchdog = Watchdog(self.config.limits, sizes)
                watch(execution, monitor, [display], watchdog, self.request, self.holder.check)
            except RayError as error:
                raise job_error(error) from error
            except SearchError as error:
                raise SettingsChanged(f"{self.store.url_of(SEARCH)}: {error}") from None
            finally:
                # calls on actors must not outlive Ray
                given_up.set()
                execution.join()
                self.journal.end(self._steps)
                display.save()
                pools.close()

    async def _search(self, pools: SearchPools) -> None:
        await pools.report()
        self.say("engines loaded")
        parts = Engines(*(self._engine(pools, role) for role in ("evolver", "optimiser", "responder")))
        self.journal.begin(self._steps)
        rows, began = self.prepared.rows, datetime.now(UTC).isoformat()
        pool, dev = [task(seed) for seed in rows.pool], [task(seed) for seed in rows.dev]
        await optimise(self.prepared.search_config(began), pool, dev, parts, self.state, self._keep)
        await pools.report()

    def _engine(self, pools: SearchPools, role: str) -> Engine:
        name = self.config.engine_of(role)
        return self.journal.over(role, pools.engine(name), name, self.config.engines[name].engine)

    @property
    def _steps(self) -> int:
        return len(self.state.log) if self.state else 0

    def _keep(self, state: OptimiserState) -> None:
        """Save a finished step before anything is done with it."""
        self.epoch.publish(SEARCH, state.to_json())
        self.state = state
        self.journal.begin(self._steps)
        self.say(describe_step(state.log[-1]))
        if self.request.name and state.stopped is None:
            raise Stopped(f"stopped by {self.request.name}; finished steps are saved, and the same command goes on")


async def _until(given_up: threading.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, or until it is given up."""
    task = asyncio.ensure_future(work)
    while not task.done():
        if given_up.is_set():
            task.cancel()
        await asyncio.wait({task}, timeout=POLL_SECONDS)
    if not task.cancelled():
        task.result()
