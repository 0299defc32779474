"""OpenTelemetry: a span for the run and one for each of its pools, to a collector that takes OTLP over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ray_jobs.config.secrets import Address
from ray_jobs.config.trackers import End, Moment, TrackedRun, Tracker, TrackerKind

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span


class SpansConfig(TrackerKind):
    """Spans to an `endpoint`, such as http://127.0.0.1:4318/v1/traces, or where OTEL_EXPORTER_OTLP_ENDPOINT says."""

    kind: Literal["opentelemetry"]
    endpoint: Address | None = None
    service: str = "slm-evolve"

    def start(self, run: TrackedRun) -> Tracker:
        """The run's span, begun now."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return RunSpans(OTLPSpanExporter(endpoint=self.endpoint), self.service, run)


class RunSpans(Tracker):
    """A span of the whole run, and below it one a pool, from its first actor to its last row.

    A span is sent once it has ended: pools' spans while the run goes on. What a collector does not take is sent again
    with the next figures.
    """

    def __init__(self, exporter: SpanExporter, service: str, run: TrackedRun) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.trace import set_span_in_context

        ended: list[ReadableSpan] = []

        class Kept(SpanProcessor):
            """Keeps spans that have ended."""

            def on_end(self, span: ReadableSpan) -> None:
                """Keep one."""
                ended.append(span)

        # what it says of a collector that is away is told once, by whoever calls
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        # our own, for the process may have another
        provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        provider.add_span_processor(Kept())
        self._tracer = provider.get_tracer("slm-evolve")
        attributes = {"evolve.run_id": run.run_id, "evolve.job": run.kind, "evolve.output": run.output}
        self._whole = self._tracer.start_span("evolve run", attributes=attributes, start_time=run.began)
        self._inside = set_span_in_context(self._whole)
        self._exporter, self._ended = exporter, ended
        self._pools: dict[str, Span] = {}
        self._figures: Mapping[str, float] = {}

    def stage(self, pool: str, moment: Moment, nanoseconds: int) -> None:
        """Begin or end the span of a pool, or note when its first model was loaded."""
        if moment == "began":
            self._pools[pool] = self._tracer.start_span(pool, self._inside, start_time=nanoseconds)
        elif moment == "ready":
            self._pools[pool].add_event("ready", timestamp=nanoseconds)
        else:
            self._end(pool, nanoseconds)

    def log(self, figures: Mapping[str, float]) -> None:
        """Keep the figures, for the spans that end, and send those that have ended."""
        self._figures = figures
        self._send()

    def finish(self, end: End) -> None:
        """End all spans and send them. Raises ConnectionError where the collector does not take them."""
        from opentelemetry.trace import StatusCode

        for pool in list(self._pools):
            self._end(pool)
        self._whole.set_attribute("evolve.end", end)
        self._whole.set_status(StatusCode.OK if end == "finished" else StatusCode.ERROR)
        self._whole.end()
        if not self._send():
            raise ConnectionError(f"{len(self._ended)} spans were not taken by the collector")
        self._exporter.shutdown()

    def _end(self, pool: str, nanoseconds: int | None = None) -> None:
        span = self._pools.pop(pool)
        for name, value in self._figures.items():
            figure, _, of = name.partition("/")
            if of.partition("/")[0] == pool:
                span.set_attribute(name.replace(f"{figure}/{pool}", figure).replace("/", "."), value)
        span.end(nanoseconds)

    def _send(self) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans: Sequence[ReadableSpan] = tuple(self._ended)
        if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            return False
        del self._ended[: len(spans)]
        return True
