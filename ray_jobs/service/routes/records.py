"""Records of a run: pages by filter and order, one row whole, and search as a stream of hits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse

from ray_jobs.errors import ConfigError
from ray_jobs.service.answers import Told
from ray_jobs.service.index import SORTS
from ray_jobs.service.records import Filter, Records
from ray_jobs.service.runs import Runs
from ray_jobs.service.streams import event, event_stream

INDEX_SECONDS = 0.7
"""How long a request waits for an index that is being made, before it says how far that is."""
MAX_HITS = 1000


def wanted(
    request: Request,
    outcome: str | None = None,
    evolver: str | None = None,
    round: int | None = None,
    reason: str | None = None,
) -> Filter:
    """The filter of a request's query; `min_` and `max_` before a numeric column bound it. Raises ConfigError."""
    ranges = {}
    for name in SORTS:
        bounds = [request.query_params.get(f"{end}_{name}") for end in ("min", "max")]
        try:
            low, high = (float(bound) if bound else None for bound in bounds)
        except ValueError:
            raise ConfigError(f"the query is wrong\n  min_{name}: expected numbers, got {bounds}") from None
        if (low, high) != (None, None):
            ranges[name] = (low, high)
    return Filter(outcome or None, evolver or None, round, reason or None, ranges)


Wanted = Annotated[Filter, Depends(wanted)]


def router(runs: Runs) -> APIRouter:
    """The routes of a run's records."""
    routes = APIRouter(prefix="/v1/runs/{run_id}", route_class=Told)

    @routes.get("/records")
    def page(
        run_id: str, filter: Wanted, sort: str | None = None, order: str = "desc", page: Annotated[int, Query(ge=1)] = 1
    ) -> Any:
        """One page, with what each filter would leave and where scores lie; 202 while the index is being made."""
        records = runs.records(run_id)
        facets = records.facets(filter)
        if indexing := _indexing(records):
            return JSONResponse({"indexing": indexing, "facets": facets}, 202)
        found = records.page(filter, sort or None, order != "asc", page)
        return {**found, "facets": facets, "distributions": records.distributions}

    @routes.get("/records/{row_id}")
    def row(run_id: str, row_id: str) -> Any:
        """All rounds of a row, whole, with the distributions that its scores lie in."""
        records = runs.records(run_id)
        if indexing := _indexing(records):
            return JSONResponse({"indexing": indexing}, 202)
        return {"rounds": records.row(row_id), "distributions": records.distributions}

    @routes.get("/search")
    def search(
        run_id: str, q: Annotated[str, Query(min_length=1, max_length=500)], filter: Wanted
    ) -> StreamingResponse:
        """Records that hold a text, as they are found; it ends when the client goes."""
        records = runs.records(run_id)
        records.prepare()
        return event_stream(_hits(records, filter, q))

    return routes


def _indexing(records: Records) -> dict[str, int] | None:
    done, of = records.prepare(INDEX_SECONDS)
    return None if done == of else {"done": done, "of": of}


def _hits(records: Records, filter: Filter, text: str) -> Iterator[str]:
    hits = 0
    for found in records.search(filter, text):
        kind = "hit" if "record" in found else "looked"
        hits += kind == "hit"
        yield event(kind, found.get("record", found))
        if hits >= MAX_HITS:
            break
    yield event("done", {"hits": hits})
