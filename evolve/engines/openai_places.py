"""Where an OpenAI-compatible model is asked: its URLs, each with the key that it takes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from evolve.engines.http_server import HttpServer
from evolve.engines.quota import QUOTA, Allowance, Limits, OwnQuota, paired
from evolve.errors import SettingError

NO_KEY = "none"
"""What a server that asks for no key gets."""


def places(
    urls: Sequence[str], key_variables: Sequence[str], timeout: float, at_once: int, limits: Limits
) -> list[HttpServer]:
    """A client of each URL and key, those that share a key under one allowance of `limits`. Raises SettingError."""
    quota, allowances = QUOTA.get() or OwnQuota(), dict[str, Allowance]()
    found = []
    for url, variable in paired(urls, key_variables):
        if len(key_variables) > 1 and not os.environ.get(variable):
            raise SettingError(f"api_key_env: there is no variable {variable}, which is to hold one of several keys")
        key = os.environ.get(variable, NO_KEY)
        # whoever asks for no key counts by itself
        name = hashlib.blake2b((url if key == NO_KEY else key).encode(), digest_size=8).hexdigest()
        allowance = allowances.setdefault(name, Allowance(quota, name, limits))
        shown = variable if len(key_variables) > 1 else ""
        found.append(HttpServer(url, key, timeout, at_once, allowance, shown))
    return found
