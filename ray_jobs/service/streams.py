"""Server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi.responses import StreamingResponse

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Whoever stands in between keeps nothing and waits for nothing."""


def event(kind: str, data: Any) -> str:
    """One event. In ASCII, so that no text in it ends a line."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def event_stream(lines: AsyncIterator[str] | Iterator[str]) -> StreamingResponse:
    """An answer of events."""
    return StreamingResponse(lines, media_type="text/event-stream", headers=HEADERS)
