"""One POST at the end, for whoever waits: finished, stopped or failed. A webhook that is away fails nothing."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from evolve.masking import mask_url
from ray_jobs.config.secrets import Secret
from ray_jobs.errors import ConfigError, JobError, Stopped
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output import accept
from ray_jobs.storage.store import open_store

TRIES, TIMEOUT_SECONDS, PAUSE_SECONDS = 3, 5.0, 2.0
Say = Callable[[str], None]


@contextmanager
def notified(
    url: Secret | None,
    output: str,
    storage: Mapping[str, Any],
    say: Say,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Tell the webhook at `url`, if any, how the block ends: well, or with a JobError, which is raised on.

    What keeps it from hearing is said, without its URL, and goes no further.
    """
    try:
        yield
    except JobError as error:
        if url:
            state = "stopped" if isinstance(error, Stopped) else "failed"
            _tell(url, _content(output, storage, state, error), say, pause)
        raise
    if url:
        _tell(url, _content(output, storage, "finished"), say, pause)


def _content(output: str, storage: Mapping[str, Any], state: str, error: JobError | None = None) -> dict[str, Any]:
    place = mask_url(output)
    counts = _counts(output, storage)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.get("records", {}).items())
    text = f"{place}: {state}" + (f"; records: {told}" if told else "") + (f"; {error}" if error else "")
    code, message = (error.exit_code, str(error)) if error else (0, None)
    return {"text": text, "output": place, "state": state, "exit_code": code, "message": message, **counts}


def _counts(output: str, storage: Mapping[str, Any]) -> dict[str, Any]:
    """Rows and records of the last phase that has begun; nothing where that cannot be read."""
    try:
        store = list(stores_of(open_store(output, storage)).values())[-1]
        found, plan = accept.planned(store)
    except JobError:
        return {}
    counts = found.manifest.outcome_counts()
    return {"rows": {"planned": plan.asked_rows, "done": counts.rows}, "records": dict(counts.by_status())}


def _tell(url: Secret, content: Mapping[str, Any], say: Say, pause: Callable[[float], None]) -> None:
    try:
        place = url.reveal()
    except ConfigError as error:
        say(f"notify: {error}; nobody is told")
        return
    why = ""
    for number in range(TRIES):
        if number:
            pause(PAUSE_SECONDS)
        why = _post(place, content)
        if not why:
            return
    say(f"notify: the webhook was not told: {why}")


def _post(url: str, content: Mapping[str, Any]) -> str:
    """Send the content; why it was not taken, without the URL, or "" where it was."""
    headers = {"Content-Type": "application/json", "User-Agent": "slm-evolve"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return f"it answers with {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send a GET, and the content to nobody."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None is followed."""
