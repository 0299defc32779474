"""Which sequences share a forward pass, and where their tokens lie in it. Pure arithmetic on lengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

MAX_PADDING = 0.05
"""The largest share of a padded batch that is padding."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbours of equal length in a packed row: `count` x `length` tokens from token `start` on."""

    start: int
    count: int
    length: int


def pack(lengths: Sequence[int], budget: int, workers: int = 1) -> list[list[int]]:
    """Indices of the sequences, longest first, in packs of at most `budget` tokens each without padding.

    A sequence longer than the budget has a pack to itself. Packs are cut at an even share of the total for a
    multiple of `workers` packs, so that the last one is no small remainder and no worker goes idle.
    """
    packs = -(-sum(lengths) // (budget * workers)) * workers
    share = sum(lengths) / max(packs, 1)
    result: list[list[int]] = []
    placed = used = 0
    for index in _longest_first(lengths):
        length = lengths[index]
        if not result or used + length > budget or placed >= share * len(result):
            result.append([])
            used = 0
        result[-1].append(index)
        used += length
        placed += length
    return result


def pad(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of the sequences, longest first, in batches of which rows x longest row is at most `budget`.

    A batch ends where one more sequence would make padding more than `MAX_PADDING` of it.
    """
    result: list[list[int]] = []
    text = 0
    for index in _longest_first(lengths):
        size = (len(result[-1]) + 1) * lengths[result[-1][0]] if result else 0
        if not result or size > budget or text + lengths[index] < (1 - MAX_PADDING) * size:
            result.append([])
            text = 0
        result[-1].append(index)
        text += lengths[index]
    return result


def starts(lengths: Sequence[int], padded: bool) -> list[int]:
    """Where each sequence starts in the flat batch, its rows padded to the longest or not at all."""
    steps = [max(lengths)] * len(lengths) if padded else lengths
    return list(accumulate(steps, initial=0))[:-1]


def runs(lengths: Sequence[int]) -> Iterator[Run]:
    """The packed row's neighbours of equal length, in order."""
    start = 0
    for length, group in groupby(lengths):
        count = sum(1 for _ in group)
        yield Run(start, count, length)
        start += count * length


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])
