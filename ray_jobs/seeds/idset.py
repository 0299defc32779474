"""A set of 128-bit ids that only grows, for telling repeats in streams of a hundred million rows.

A Python set of 16-byte strings takes over 100 bytes an id; this takes 16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ID_BYTES = 16
_RUN_LIMIT = 1 << 24  # ids in a run, 256 MiB; merging takes as much again and half of it for a moment
_Run = npt.NDArray[np.bytes_]


class IdSet:
    """Ids in sorted runs, each of which is at least twice as long as the one behind it, up to a limit.

    Adding n ids costs O(n log n) amortised merging and one binary search an id and run.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, ids: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """Add ids of 16 bytes each; for each whether it was new. Of equal ones in `ids` the first alone is new.

        Raises ValueError where an id has another length.
        """
        if any(len(id_) != ID_BYTES for id_ in ids):
            raise ValueError(f"ids must have {ID_BYTES} bytes")
        # numpy strips trailing zero bytes from such strings, but only when it gives one out; order and equality
        # of strings of one length are those of their bytes
        array = np.frombuffer(b"".join(ids), dtype=f"S{ID_BYTES}")
        unique, first = np.unique(array, return_index=True)
        unseen = ~self._holds(unique)
        new = np.zeros(len(array), dtype=np.bool_)
        new[first[unseen]] = True
        self._push(unique[unseen])
        return new

    def holds(self, ids: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """For each of these ids, of 16 bytes each and in any order, whether it is in the set."""
        return self._holds(np.frombuffer(b"".join(ids), dtype=f"S{ID_BYTES}"))

    def _holds(self, sorted_ids: _Run) -> npt.NDArray[np.bool_]:
        held = np.zeros(len(sorted_ids), dtype=np.bool_)
        for run in self._runs:
            place = np.searchsorted(run, sorted_ids)
            held |= run[np.minimum(place, len(run) - 1)] == sorted_ids
        return held

    def _push(self, run: _Run) -> None:
        if not len(run):
            return
        while self._runs and _mergeable(len(self._runs[-1]), len(run)):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")  # timsort, which merges two sorted halves in linear time
        self._runs.append(run)


def _mergeable(before: int, last: int) -> bool:
    return before < 2 * last and before + last <= _RUN_LIMIT
