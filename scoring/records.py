"""What goes into scoring and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from scoring.ifd import ic_ifd, ifd, ifd_perplexity


@dataclass(frozen=True, slots=True)
class Pair:
    """One instruction-response pair; `input` is empty where the instruction needs none."""

    instruction: str
    input: str
    output: str

    @property
    def question(self) -> str:
        """Q of the rule: the instruction, followed by its input on the next line if there is one."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


@dataclass(frozen=True, slots=True)
class Scores:
    """The raw losses of one pair, from which every variant of IFD derives.

    Losses are token-mean cross-entropies in nats, None where undefined; `note` then says why, and also
    marks values that are defined but deserve a second look. `n_q` and `n_a` count the positions that L(Q)
    and L(A|Q) average over.
    """

    loss_q: float | None
    loss_a_given_q: float | None
    loss_a: float | None
    n_q: int
    n_a: int
    note: str | None = None

    @property
    def ifd(self) -> float | None:
        """L(A|Q) / L(A)."""
        return ifd(self.loss_a_given_q, self.loss_a)

    @property
    def ic_ifd(self) -> float | None:
        """L(A|Q) / (L(Q) * L(A))."""
        return ic_ifd(self.loss_q, self.loss_a_given_q, self.loss_a)

    @property
    def ifd_ppl(self) -> float | None:
        """exp(L(A|Q)) / exp(L(A))."""
        return ifd_perplexity(self.loss_a_given_q, self.loss_a)


@dataclass(frozen=True, slots=True)
class Reward:
    """What a reward model makes of one pair: its single logit, None where undefined; `note` then says why."""

    value: float | None
    note: str | None = None


class PairScorer(Protocol):
    """What scores pairs: one result a pair, in order, never raising for what a pair holds."""

    def score(self, pairs: Sequence[Pair]) -> list[Scores]:
        """Score pairs."""
        ...


@dataclass(frozen=True)
class Scoring:
    """What one actor scores with. `lengths` and `rewards` are None where they are not asked for.

    `instructions` asks for the losses of instructions alone, without their inputs.
    """

    scorer: PairScorer
    lengths: Callable[[Sequence[Pair]], list[int | None]] | None = None
    rewards: Callable[[Sequence[Pair]], list[Reward]] | None = None
    instructions: bool = False
