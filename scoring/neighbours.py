"""The nearest other row of each row, exactly, by blocked matrix products in bounded memory.

The distance is 2 - 2 cos, the squared Euclidean distance of unit vectors (arXiv 2406.08464, Magpie). Every pair
of rows is compared: n² d multiplications, which is what an exact search costs without an index; a BLAS does them at the
machine's rate. The vectors may lie in a file that numpy maps: two blocks and their products are in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
QUERY_ROWS, CORPUS_ROWS = 2048, 16384
"""Rows of a block of products: 128 MiB of float32."""


@dataclass(frozen=True)
class Neighbours:
    """What lies around some rows. `nearest` is a place among all rows, -1 where there is no other row.

    Distances are in [0, 4], NaN where there is no other row. `repeats` counts the other rows within the radius.
    """

    nearest: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float32]
    repeats: npt.NDArray[np.int32]


def neighbours(vectors: Vectors, radius: float, start: int = 0) -> Iterator[Neighbours]:
    """The neighbours of the rows from `start` on, in blocks of 2048, in order.

    `vectors` [n, d] have length 1 each. Of rows at the same distance the first is the nearest. Distances are right to
    about 1e-6, what float32 products leave.
    """
    for first in range(start, len(vectors), QUERY_ROWS):
        yield _around(vectors, slice(first, min(first + QUERY_ROWS, len(vectors))), radius)


def _around(vectors: Vectors, wanted: slice, radius: float) -> Neighbours:
    queries = np.ascontiguousarray(vectors[wanted])
    rows = np.arange(len(queries))
    nearest = np.full(len(queries), -1, dtype=np.int64)
    best = np.full(len(queries), -np.inf, dtype=np.float32)
    repeats = np.zeros(len(queries), dtype=np.int32)
    for first in range(0, len(vectors), CORPUS_ROWS):
        block = vectors[first : first + CORPUS_ROWS]
        cosines = queries @ block.T
        _remove_itself(cosines, wanted.start - first)
        places = cosines.argmax(axis=1)
        closest = cosines[rows, places]
        closer = closest > best
        nearest[closer], best[closer] = first + places[closer], closest[closer]
        repeats += np.count_nonzero(cosines >= 1 - radius / 2, axis=1).astype(np.int32)
    distance = np.where(nearest < 0, np.nan, np.clip(2 - 2 * best, 0, 4)).astype(np.float32)
    return Neighbours(nearest, distance, repeats)


def _remove_itself(cosines: Vectors, offset: int) -> None:
    """Take each query's own row out: query i is row i + `offset` of the block, where that is in it."""
    own = np.arange(len(cosines))
    inside = (own + offset >= 0) & (own + offset < cosines.shape[1])
    cosines[own[inside], own[inside] + offset] = -np.inf
