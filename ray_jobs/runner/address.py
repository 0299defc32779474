"""Which cluster a run joins, told without loading Ray."""

from __future__ import annotations

import os
import re

from ray_jobs.config.run import RayConfig
from ray_jobs.errors import ClusterError

_JOINED = re.compile(r"local|auto|(?:ray://)?(?:[^\s:/\[\]]+|\[[0-9a-fA-F:.%\w]+\]):\d{1,5}|(?!https?://)\w+://\S+")
"""What Ray takes for an address. Other schemes than its own it finds a module for."""


def check_address(config: RayConfig) -> None:
    """Refuse what names no cluster to join, before anything is written. Raises ClusterError."""
    address = config.address or os.environ.get("RAY_ADDRESS") or "local"
    if _JOINED.fullmatch(address):
        return
    what = "names no cluster"
    if address.startswith(("http://", "https://")):
        what = "is a dashboard's URL, to which `evolve submit --address` sends jobs"
    raise ClusterError(
        f"{'ray.address' if config.address else 'RAY_ADDRESS'} {address}: {what}; a run joins HOST:PORT or "
        "ray://HOST:PORT, or starts a Ray of its own where nothing is said"
    )


def starts_here(address: str | None) -> bool:
    """Whether a run that names this cluster, or none, starts one of its own on this machine."""
    return (address or os.environ.get("RAY_ADDRESS") or "local") == "local"
