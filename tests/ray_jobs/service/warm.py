"""A service with scripted engines in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.testclient import TestClient

from ray_jobs.config.load import validated
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engines import roster
from ray_jobs.service.gateway import application
from ray_jobs.service.local_engines import LocalEngines
from ray_jobs.service.state import ServiceState
from ray_jobs.service.tokens import digest

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


class Warm:
    """The service, its engines, the tokens that count, and clients of it."""

    def __init__(self, service: Mapping[str, Any] | None = None, **settings: Any) -> None:
        raw = {**RAW, **settings}
        raw = {name: value for name, value in raw.items() if value is not None}
        self.config = validated(ServedRunConfig, {**raw, "service": dict(service or {})}, "serve.yaml")
        found = roster(self.config)
        free = self.config.service.free_sequences
        self.engines = LocalEngines(found, free)
        self.digests = {"anna": digest(TOKEN), "bert": digest(OTHER)}
        self.settings = raw
        state = ServiceState(self.config.roots(), raw, config=self.config, engines=self.engines)
        self.app = application(state, lambda: self.digests)

    def client(self, token: str | None = TOKEN) -> TestClient:
        """A program that asks with this token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return TestClient(self.app, base_url="http://127.0.0.1:8400", headers=headers)
