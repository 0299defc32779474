"""Which row the running code works for, so that logs and figures can say so without every function passing it on."""

from __future__ import annotations

from contextvars import ContextVar

ROW: ContextVar[str] = ContextVar("row", default="")
"""The id of the row of the running task; tasks that it starts inherit it. Empty outside of rows."""
