"""Whether the servers that a run asks are there at all, before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from urllib.parse import urlsplit
from urllib.request import getproxies

from ray_jobs.config.engine_kinds import OpenAIConfig
from ray_jobs.config.secrets import revealed
from ray_jobs.errors import ConfigError
from ray_jobs.pipeline.stage import Stage

CONNECT_SECONDS = 10.0


def check_servers(stages: Iterable[Stage]) -> None:
    """Raise ConfigError where no host has a server's name, or nobody listens at its port.

    A server that is merely slow may be busy, and is waited for by its engine. Behind a proxy nothing is known.
    """
    seen = set[str]()
    for stage in stages:
        if isinstance(stage.model, OpenAIConfig) and not getproxies():
            url = str(revealed(stage.model.url, "url"))
            if url not in seen:
                seen.add(url)
                _knock(stage.place, url)


def _knock(place: str, url: str) -> None:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return  # the engine says what is wrong with it
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except (socket.gaierror, ConnectionRefusedError, UnicodeError) as error:
        raise ConfigError(f"{place}.url: nobody answers at {host}:{port}: {error}") from None
    except OSError:
        return  # a network that is away now may be there when the engine asks
