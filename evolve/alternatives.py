"""How likely each of some whole answers was, by the probabilities of tokens at the positions of one reply.

A reply shows the first tokens by which answers part ways, of "easy" and "very hard" those of "e…" and "v…", and along
its own way also the later ones. What it leaves open, "easy" or "hard" behind a "very" that was not drawn, is a branch
that an engine may go on with. Texts are compared without white space and case, for single tokens of some vocabularies
lose their blanks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

UNTOLD = 0.04
"""The share of the probability that may stay open; at each of four tokens in a row a quarter of it is left."""


class Option(NamedTuple):
    """One token that might stand at a position. `token` is its number, where the engine has numbers."""

    text: str
    probability: float
    token: int = -1


Position = Sequence[Option]
"""The likeliest tokens at a position of a reply, the drawn one first."""


class Branch(NamedTuple):
    """A way that the reply did not take, at its position `place`: several answers begin with `begun`."""

    place: int
    token: int
    begun: str
    probability: float


GoOn = Callable[[list[int], str], Awaitable[Sequence[Position]]]
"""Gives the positions of a reply that goes on behind these tokens of an answer, which spell the text."""


@dataclass
class Weighed:
    """The probability of each answer as far as it is told, in their order, and the branches that are open."""

    told: list[float]
    branches: list[Branch] = field(default_factory=list)

    @property
    def open(self) -> float:
        """The share of all probability that the branches have."""
        return sum(branch.probability for branch in self.branches) / (self.whole or 1.0)

    def take(self, branch: Branch, more: Weighed) -> None:
        """Close a branch, by what was found behind it; what is open there stays so."""
        whole = sum(more.told)
        if not whole:
            return
        self.branches.remove(branch)
        told = branch.probability * (1 - more.open)
        for place, probability in enumerate(more.told):
            self.told[place] += told * probability / whole
        if more.open:
            self.branches.append(branch._replace(probability=branch.probability - told))

    @property
    def whole(self) -> float:
        """All probability, told and open."""
        return sum(self.told) + sum(branch.probability for branch in self.branches)

    def greatest(self, left: float) -> list[Branch]:
        """The branches but for the smallest, which together hold no more than the share `left`."""
        rest = sorted(self.branches, key=lambda branch: branch.probability)
        left *= self.whole
        while rest and rest[0].probability <= left:
            left -= rest.pop(0).probability
        return rest

    def shares(self) -> tuple[float, ...] | None:
        """The answers' probabilities, which sum to 1; None where more than UNTOLD is open, or nothing is told."""
        whole = sum(self.told)
        return tuple(item / whole for item in self.told) if whole and self.open <= UNTOLD else None


def weigh(answers: Sequence[str], positions: Iterable[Position], begun: str = "") -> Weighed | None:
    """The probability of each of `answers` by the positions of a reply that goes on behind `begun`.

    None where the reply is none of them.
    """
    names = [_plain(answer) for answer in answers]
    found, text, whole = Weighed([0.0] * len(names)), begun, 1.0
    for place, (drawn, *others) in enumerate(positions):
        for option in others:
            _add(found, names, place, option, text, whole * option.probability)
        longer, whole = text + drawn.text, whole * drawn.probability
        fitting = _fitting(names, longer)
        if len(fitting) > 1:
            text = longer
            continue
        end = fitting[0] if fitting else _place(names, text)
        if end is None:
            return None
        found.told[end] += whole
        return found
    end = _place(names, text)
    if end is None:
        return None
    found.told[end] += whole
    return found


async def resolve(
    answers: Sequence[str],
    positions: Sequence[Position],
    go_on: GoOn,
    before: Sequence[int] = (),
    begun: str = "",
    left: float = UNTOLD / 4,
) -> Weighed | None:
    """As `weigh`, for a reply behind the tokens `before` that spell `begun`.

    Branches are gone on with, but for small ones that hold the share `left` together.
    """
    found = weigh(answers, positions, begun)
    if found is None:
        return None

    greatest, whole = found.greatest(left), found.whole

    async def follow(branch: Branch) -> None:
        tokens = [*before, *(position[0].token for position in positions[: branch.place]), branch.token]
        reply, rest = await go_on(tokens, branch.begun), left / len(greatest) * whole / branch.probability
        more = await resolve(answers, reply, go_on, tokens, branch.begun, rest)
        if more:
            found.take(branch, more)

    await asyncio.gather(*map(follow, greatest))
    return found


def answer_start(positions: Sequence[Position], answer: str) -> int | None:
    """Where in a reply, behind its thoughts, the answer begins that it ends with; None where it is not found."""
    wanted, tail = _plain(answer), ""
    for place in range(len(positions) - 1, -1, -1):
        tail = _plain(positions[place][0].text) + tail
        if tail.startswith(wanted):
            return place
    return None


def remainder(answer: str, begun: str) -> str:
    """What of `answer` stands behind its beginning `begun`."""
    if answer.casefold().startswith(begun.casefold()):
        return answer[len(begun) :]
    left = len(_plain(begun))
    for place, character in enumerate(answer):
        if not left:
            return answer[place:]
        left -= len(_plain(character))
    return ""


def fitting(answers: Sequence[str], begun: str) -> list[str]:
    """The answers that begin with `begun`."""
    text = _plain(begun)
    return [answer for answer in answers if _plain(answer).startswith(text)]


def expectation(scale: Mapping[str, float], probabilities: Sequence[float] | None) -> float | None:
    """The mean value of a scale's answers under their probabilities; None where these are not told."""
    if probabilities is None:
        return None
    return sum(value * share for value, share in zip(scale.values(), probabilities, strict=True))


def _add(found: Weighed, names: Sequence[str], place: int, option: Option, text: str, probability: float) -> None:
    longer = text + option.text
    fitting = _fitting(names, longer)
    # what goes on with none of them ends one that is whole already
    end = fitting[0] if len(fitting) == 1 else _place(names, text) if not fitting else None
    if end is not None:
        found.told[end] += probability
    elif fitting:
        found.branches.append(Branch(place, option.token, longer, probability))


def _fitting(names: Sequence[str], text: str) -> list[int]:
    text = _plain(text)
    return [place for place, name in enumerate(names) if name.startswith(text)]


def _place(names: Sequence[str], text: str) -> int | None:
    text = _plain(text)
    return names.index(text) if text in names else None


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()
