"""What engines have to say to whoever runs them, such as a field that a server does not know."""

from __future__ import annotations

from collections.abc import Callable

from ray_jobs.pipeline.monitor import Snapshot


class Told:
    """Says each thing once a run, however many actors have it to say."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._said = say, set[str]()

    def observe(self, snapshot: Snapshot) -> None:
        """Say what is new."""
        for pool in snapshot.pools.values():
            for line in pool.stats.told:
                if line not in self._said:
                    self._said.add(line)
                    self._say(line)
