"""A client of a service that runs somewhere: JSON there and back, with a token of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from evolve.masking import mask_url
from ray_jobs.errors import ClusterError, ConfigError

TOKEN_VARIABLE = "EVOLVE_TOKEN"
SECONDS = 3600
"""How long an answer may take: a seed goes through all rounds, behind others."""


class ServiceClient:
    """The service at `url`. To be used, and closed, within one event loop. Raises ConfigError for no URL or token."""

    def __init__(self, url: str) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ConfigError(
                f"--service {mask_url(url)}: expected the URL of a service, such as http://127.0.0.1:8400"
            )
        if not (token := os.environ.get(TOKEN_VARIABLE)):
            raise ConfigError(f"--service: expected a token of `evolve tokens` in the variable {TOKEN_VARIABLE}")
        self._url, self._token = url.rstrip("/"), token
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a request.

        Raises ConfigError where the service turns it down, in its own words; ClusterError where it is away.
        """
        if self._session is None:
            headers = {"Authorization": f"Bearer {self._token}"}
            timeout = aiohttp.ClientTimeout(total=SECONDS, sock_connect=30)
            self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        place = mask_url(self._url)
        try:
            async with self._session.post(f"{self._url}{path}", json=dict(body)) as answer:
                status, content = answer.status, await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ClusterError(f"{place}: no service answers here ({type(error).__name__})") from None
        except ValueError:
            raise ClusterError(f"{place}: what answers here is no service of this program") from None
        if status < 400:
            return content
        told = _message(content)
        if status in (401, 403):
            raise ConfigError(f"--service {place}: {told} (the token is that of {TOKEN_VARIABLE})")
        if status < 500 and status not in (404, 429):
            raise ConfigError(told)
        raise ClusterError(f"{place}: {told}")

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()


def _message(content: Any) -> str:
    match content:
        case {"error": {"message": str(message)}}:
            return message
    return "it answers with an error that is none of a service of this program"
