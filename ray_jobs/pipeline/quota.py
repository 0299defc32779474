"""The allowances of keys, counted by the run's monitor for all actors that use them."""

from __future__ import annotations

from dataclasses import dataclass

from ray.exceptions import RayError

from evolve.engines.quota import Grant, Limits
from ray_jobs.pipeline.monitor import REPORT_SECONDS, Monitor


@dataclass(frozen=True)
class MonitorQuota:
    """Asks the monitor; see evolve.engines.quota."""

    monitor: Monitor

    async def ask(self, key: str, limits: Limits, wanted: int, each: int, more: int) -> Grant:
        """Ask for requests. While the monitor is away nothing is granted."""
        try:
            grant: Grant = await self.monitor.actor.grant.remote(key, limits, wanted, each, more)
        except RayError:
            return Grant(0, REPORT_SECONDS)
        return grant
