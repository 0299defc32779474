"""A search that is cut off in the middle of a step, without Ray: what it asks when it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from evolve.errors import EngineDied
from evolve.method_search.config import Engines
from evolve.method_search.search import optimise
from evolve.method_search.state import OptimiserState
from evolve.records import Completion, Prompt
from evolve.testing.scripted_engine import Script, ScriptedEngine
from ray_jobs.config.engine_kinds import ScriptedConfig
from ray_jobs.config.run import LimitsConfig
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.jobs.method_search.journal import StepJournal
from ray_jobs.jobs.method_search.preflight import prepare
from ray_jobs.jobs.method_search.rows import task
from ray_jobs.output.file_names import Tag
from ray_jobs.output.replies import reply_files
from ray_jobs.pipeline.journal import JournalPlace
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import write_seeds

PARTS = {"evolver": "auto_evol", "optimiser": "method", "responder": "topic"}


class Mortal:
    """A scripted engine that is gone after `calls` calls; `asked` are the prompts that it answered."""

    def __init__(self, part: str, calls: int) -> None:
        self._engine, self._left = ScriptedEngine(Script(reply=part)), calls
        self.asked = list[Prompt]()
        self.max_concurrency = self._engine.max_concurrency

    async def generate(self, prompt: Prompt) -> Completion:
        if self._left <= len(self.asked):
            raise EngineDied("gone")
        completion = await self._engine.generate(prompt)
        self.asked.append(prompt)
        return completion

    async def close(self) -> None:
        await self._engine.close()


class Search:
    """One start after another of a search, whose engine for evolving is gone after so many calls."""

    def __init__(self, folder: Path, output: str = "out", journal: str = "auto") -> None:
        write_seeds(folder / "seeds.jsonl", (f"Describe procedure {number} step by step." for number in range(60)))
        roles = {"evolver": "small", "optimiser": "large", "responder": "large"}
        raw = {
            "output": str(folder / output),
            "seeds": {"path": str(folder / "seeds.jsonl")},
            "engines": {name: {"engine": {"kind": "scripted"}} for name in ("small", "large")},
            "roles": roles,
            "search": {"dev_rows": 20, "minibatch": 4, "rounds": 2, "candidates": 3, "steps": 3},
        }
        self._prepared = prepare(OptimizeConfig.model_validate(raw))
        self._limits = LimitsConfig.model_validate({"journal": journal})
        self.store: Store = open_store(str(folder / output))
        self.state: OptimiserState | None = None
        self.given_again = 0

    def start(self, calls: int = 1_000_000) -> list[Prompt]:
        """What the evolver's engine answered until it was gone, or the search at its end."""
        place = JournalPlace(self.store, Tag(1, "0123456789ab"), "run", "", 0)
        journal = StepJournal(place, self._limits, lambda: None)
        engines = {role: Mortal(part, calls if role == "evolver" else 1_000_000) for role, part in PARTS.items()}
        parts = [journal.over(role, engine, role, ScriptedConfig(kind="scripted")) for role, engine in engines.items()]
        rows = self._prepared.rows
        pool, dev = [task(seed) for seed in rows.pool], [task(seed) for seed in rows.dev]

        def keep(state: OptimiserState) -> None:
            self.state = state
            journal.begin(len(state.log))

        journal.begin(len(self.state.log) if self.state else 0)
        with contextlib.suppress(EngineDied):
            asyncio.run(optimise(self._prepared.search_config(""), pool, dev, Engines(*parts), self.state, keep))
        journal.end(len(self.state.log) if self.state else 0)
        self.given_again = journal.given_again["evolver"]
        return engines["evolver"].asked


@pytest.mark.parametrize("calls", [7, 25, 60])
def test_a_search_that_is_cut_off_in_a_step_asks_only_for_what_is_missing(tmp_path: Path, calls: int) -> None:
    whole, cut = Search(tmp_path, "whole"), Search(tmp_path, "cut")
    wanted = whole.start()
    assert len(wanted) > 60
    before = cut.start(calls)
    assert cut.state is None or cut.state.stopped is None
    after = cut.start()
    assert cut.state == whole.state
    assert sorted(map(repr, before + after)) == sorted(map(repr, wanted))
    assert cut.given_again > 0
    assert reply_files(cut.store) == []


def test_without_the_journal_the_step_is_asked_anew(tmp_path: Path) -> None:
    search = Search(tmp_path, journal="off")
    assert set(map(repr, search.start(7))) <= set(map(repr, search.start()))
    assert search.given_again == 0
