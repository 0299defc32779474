"""The service's figures as Prometheus metrics, beside those of Ray Serve: as the gateway sees them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ray.util.metrics import Counter, Gauge, Histogram

from ray_jobs.service.auth import Usage
from ray_jobs.service.engines import Figures

SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]


class ServiceMetrics:
    """The metrics of one gateway."""

    def __init__(self) -> None:
        engine = ("engine",)
        self.under_way = Gauge(
            "evolve_service_under_way", "Requests at an engine, those in its queue included.", engine
        )
        self.tokens = Counter("evolve_service_tokens", "Tokens that an engine has written for the service.", engine)
        self.first = Histogram(
            "evolve_service_first_token_seconds", "From a streamed chat's arrival to its first piece.", SECONDS, engine
        )
        self.refused = Counter("evolve_service_refused", "Requests that went no further, by cause.", ("cause",))


class MeteredFigures(Figures):
    """Figures of one engine that are metrics too."""

    def __init__(self, name: str, metrics: ServiceMetrics) -> None:
        super().__init__()
        self._tags, self._metrics = {"engine": name}, metrics

    @contextmanager
    def one(self) -> Iterator[None]:
        """A request is under way while the context lasts."""
        try:
            with super().one():
                self._metrics.under_way.set(self.ongoing, self._tags)
                yield
        finally:
            self._metrics.under_way.set(self.ongoing, self._tags)

    def wrote(self, tokens: int) -> None:
        """So many tokens have come."""
        super().wrote(tokens)
        if tokens > 0:
            self._metrics.tokens.inc(tokens, self._tags)

    def first_after(self, began: float) -> None:
        """The first piece has come, of a chat that `began` at this monotonic time."""
        self._metrics.first.observe(time.monotonic() - began, self._tags)


class MeteredUsage(Usage):
    """Usage whose refusals are a metric too."""

    def __init__(self, requests: int, share: float, metrics: ServiceMetrics) -> None:
        super().__init__(requests, share)
        self._metrics = metrics

    def refuse(self, cause: str) -> None:
        """A request went no further."""
        super().refuse(cause)
        self._metrics.refused.inc(1, {"cause": cause})
