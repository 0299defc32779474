"""Whether the servers that a run asks are there at all, before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from evolve.engines.http_server import proxy_of
from ray_jobs.config.engine_kinds import OpenAIConfig
from ray_jobs.config.secrets import revealed
from ray_jobs.errors import ConfigError
from ray_jobs.pipeline.stage import Stage

CONNECT_SECONDS = 10.0


def check_servers(stages: Iterable[Stage]) -> None:
    """Raise ConfigError where no host has a server's name, or nobody listens at its port; of several, at all of them.

    A server that is merely slow may be busy, and is waited for by its engine. Of one behind a proxy nothing is known.
    """
    seen = dict[str, str]()
    for stage in stages:
        if isinstance(stage.model, OpenAIConfig):
            problems = []
            for url in map(str, revealed(stage.model.urls, "url")):
                if url not in seen:
                    seen[url] = _knock(url) if proxy_of(url) is None else ""
                problems.append(seen[url])
            if all(problems):
                raise ConfigError(f"{stage.place}.url: {'; '.join(problems)}")


def _knock(url: str) -> str:
    """What is wrong with an address, if it is known."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return ""  # the engine says what is wrong with it
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except (socket.gaierror, ConnectionRefusedError, UnicodeError) as error:
        return f"nobody answers at {host}:{port}: {error}"
    except OSError:
        pass  # a network that is away now may be there when the engine asks
    return ""
