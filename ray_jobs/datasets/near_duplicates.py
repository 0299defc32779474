"""Finds instructions that are nearly the same, by MinHash and locality-sensitive hashing.

Instructions are compared as sets of three-word runs (`words.py`). rensa makes the MinHash signatures; they go to a
temporary file, 512 bytes an instruction, because the index of the library would keep about 2 KB of memory for each.
The index here keeps 128 bytes. Two instructions are candidates where all four values of one of 32 bands agree, which
happens to 99.98 % of the pairs of similarity 0.7 and 87 % of those of similarity 0.5; a candidate is a near duplicate
where the share of all 128 values that agree, which estimates the similarity with a standard error of at most 0.045,
reaches the threshold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from types import TracebackType

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from ray_jobs.datasets.words import ngrams, words_of
from scoring.select import Mask

RUN_WORDS = 3
VALUES, BANDS = 128, 32
BAND_VALUES = VALUES // BANDS
BANDS_AT_ONCE = 8
SEED = 1
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 1], dtype=np.uint64)
Signatures = npt.NDArray[np.uint32]


class SignatureFile:
    """The signatures of a stream of texts, in a temporary file that is gone when the context ends."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="evolve-signatures-")  # noqa: SIM115 (this class is the context)
        self._count = 0

    def __enter__(self) -> SignatureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, texts: Iterable[str]) -> None:
        """Append the signatures of these texts."""
        sets = [_runs(text) for text in texts]
        matrix = RMinHash.digest_matrix_from_token_sets(sets, num_perm=VALUES, seed=SEED)
        np.array(matrix.to_rows(), dtype=np.uint32).tofile(self._file)
        self._count += len(sets)

    def signatures(self) -> Signatures:
        """All signatures, one a row, mapped from the file."""
        self._file.flush()
        if not self._count:
            return np.empty((0, VALUES), dtype=np.uint32)
        return np.memmap(self._file, dtype=np.uint32, mode="r", shape=(self._count, VALUES))


def _runs(text: str) -> list[str]:
    words = words_of(text)
    return list(ngrams(words, RUN_WORDS)) or [" ".join(words)]


def near_duplicates(signatures: Signatures, ranking: npt.NDArray[np.intp], similarity: float) -> Mask:
    """Which rows repeat another: in the order of `ranking`, each that is as similar to one that was kept before it.

    Rows that `ranking` leaves out are neither compared nor marked.
    """
    buckets = _buckets(signatures, ranking)
    repeated = np.zeros(len(signatures), dtype=np.bool_)
    kept: dict[int, list[int]] = {}
    for row in ranking[buckets[ranking].any(axis=1)].tolist():
        mine = [bucket for bucket in buckets[row].tolist() if bucket]
        others = list({other for bucket in mine for other in kept.get(bucket, ())})
        if others and (signatures[others] == signatures[row]).mean(axis=1).max() >= similarity:
            repeated[row] = True
        else:
            for bucket in mine:
                kept.setdefault(bucket, []).append(row)
    return repeated


def _buckets(signatures: Signatures, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.uint32]:
    """For each row and band the number of its bucket, from 1 on; 0 where no other of `rows` shares it."""
    buckets = np.zeros((len(signatures), BANDS), dtype=np.uint32)
    used = 0
    for start in range(0, BANDS, BANDS_AT_ONCE):
        keys = _band_keys(signatures, start)
        for offset in range(BANDS_AT_ONCE):
            _, inverse, counts = np.unique(keys[rows, offset], return_inverse=True, return_counts=True)
            numbers = np.where(counts > 1, np.cumsum(counts > 1) + used, 0)
            buckets[rows, start + offset] = numbers[inverse]
            used += int((counts > 1).sum())
    return buckets


def _band_keys(signatures: Signatures, start: int) -> npt.NDArray[np.uint64]:
    """A key a row for each of the bands from `start` on. Distinct bands may rarely share one, which costs a check."""
    keys = np.empty((len(signatures), BANDS_AT_ONCE), dtype=np.uint64)
    for begin in range(0, len(signatures), 1 << 16):
        part = signatures[begin : begin + (1 << 16), start * BAND_VALUES : (start + BANDS_AT_ONCE) * BAND_VALUES]
        values = part.astype(np.uint64).reshape(-1, BANDS_AT_ONCE, BAND_VALUES)
        keys[begin : begin + len(part)] = (values * _MIX).sum(axis=2, dtype=np.uint64)
    return keys
