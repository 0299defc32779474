"""A service with scripted engines in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from fastapi.testclient import TestClient

from evolve.records import Completion
from ray_jobs.config.engines import build_engine
from ray_jobs.config.load import validated
from ray_jobs.output.rounds import RoundRow
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engine_worker import EngineWorker
from ray_jobs.service.engines import Condition, Figures, Roster, roster
from ray_jobs.service.gateway import application
from ray_jobs.service.score_worker import Pair, ScoreWorker
from ray_jobs.service.state import ServiceState
from ray_jobs.service.tokens import digest
from ray_jobs.service.work import Call, Question, Trial, Trouble

TOKEN, OTHER = "t" * 20, "o" * 20
RAW: dict[str, Any] = {
    "output": "out/first",
    "seeds": {"path": "examples/seeds.jsonl"},
    "strategy": {"sampling": {"max_tokens": 77}},
    "evolvers": {
        "small": {"engine": {"kind": "scripted", "model": "tiny"}},
        "large": {"engine": {"kind": "scripted", "testing": {"decode_rate": 2000, "refuse_text": "forbidden words"}}},
    },
    "responder": {"engine": {"kind": "scripted", "testing": {"die_text": "kill"}}},
    "scorer": {"kind": "scripted"},
}


class LocalEngines:
    """Engines in this process, where a service has replicas."""

    def __init__(self, roster: Roster, workers: Mapping[str, EngineWorker], scorer: ScoreWorker | None = None) -> None:
        self.roster, self._workers, self._scorer = roster, workers, scorer
        self.figures: Mapping[str, Figures] = {item.name: Figures() for item in roster.loaded}

    def trial(self, loaded: str, trial: Trial) -> AsyncIterator[RoundRow | Trouble]:
        """As Engines says."""
        return self._workers[loaded].trial(trial)

    async def answer(self, loaded: str, question: Question) -> RoundRow | Trouble:
        """As Engines says."""
        return await self._workers[loaded].answer(question)

    async def complete(self, loaded: str, call: Call) -> Completion | Trouble:
        """As Engines says."""
        return await self._workers[loaded].complete(call)

    def stream(self, loaded: str, call: Call) -> AsyncIterator[str | Completion | Trouble]:
        """As Engines says."""
        return self._workers[loaded].stream(call)

    async def score(self, loaded: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """As Engines says."""
        assert self._scorer is not None, "the roster has none"
        return await self._scorer.score(pairs)

    async def conditions(self) -> Mapping[str, Condition]:
        """All are ready, but for engines that have died."""
        return {name: self._condition(name) for name in self.figures}

    def _condition(self, name: str) -> Condition:
        died = self._workers[name].died if name in self._workers else None
        return Condition("failed", 0, died) if died else Condition("ready", 1)


class Warm:
    """The service, its engines, the tokens that count, and clients of it."""

    def __init__(self, service: Mapping[str, Any] | None = None, **settings: Any) -> None:
        raw = {**RAW, **settings}
        raw = {name: value for name, value in raw.items() if value is not None}
        self.config = validated(ServedRunConfig, {**raw, "service": dict(service or {})}, "serve.yaml")
        found = roster(self.config)
        free = self.config.service.free_sequences
        models = {item.name: item.model for item in found.loaded}
        scorer = models.pop("score", None)
        self.workers = {name: EngineWorker(build_engine(model), free) for name, model in models.items()}
        self.engines = LocalEngines(found, self.workers, ScoreWorker(scorer.build()) if scorer else None)
        self.digests = {"anna": digest(TOKEN), "bert": digest(OTHER)}
        self.settings = raw
        state = ServiceState(self.config.roots(), raw, config=self.config, engines=self.engines)
        self.app = application(state, lambda: self.digests)

    def client(self, token: str | None = TOKEN) -> TestClient:
        """A program that asks with this token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return TestClient(self.app, base_url="http://127.0.0.1:8400", headers=headers)
