"""What a selection is asked to keep, as it is written on the command line and recorded beside the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ray_jobs.errors import ConfigError
from scoring.select import Order, Top

GROUPS = ("evolver", "round", "operator")
RANDOM = "random"
"""In the place of a score: a hash of the seed and the record's id, so that any record is as likely as any other."""
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class Rule:
    """Keep by the score `by`: the `top` of each group, or what lies in `range`; then drop what filters find.

    `order` None is the score's own. `drop_ifd_above` leaves records out before anything is ranked, and so does
    `drop_cut` those whose response ran into its token limit.
    `near_duplicates` is the similarity from which instructions count as the same; `ngram` is how many words in a row
    may not be those of a benchmark, where benchmarks are to be kept out. `seed` is that of a random selection, whose
    `by` is RANDOM.
    """

    by: str
    top: Top | None = None
    range: Range | None = None
    order: Order | None = None
    per: tuple[str, ...] = ()
    drop_ifd_above: float | None = None
    near_duplicates: float | None = None
    ngram: int | None = None
    seed: int | None = None
    drop_cut: bool = False

    def __post_init__(self) -> None:
        if (self.top is None) == (self.range is None):
            raise ConfigError("expected --top or --range, and not both")
        if (self.by == RANDOM) != (self.seed is not None):
            raise ConfigError("expected --seed with --random, and only there")
        if unknown := [name for name in self.per if name not in GROUPS]:
            raise ConfigError(f"--per {unknown[0]}: expected some of {', '.join(GROUPS)}, with commas between them")

    def ordered(self, default: Order | None) -> Rule:
        """The rule with its order settled. Raises ConfigError where neither it nor the score has one."""
        if self.order is None and default is None:
            raise ConfigError(f"--by {self.by}: has no usual order; say --order highest or --order lowest")
        return replace(self, order=self.order or default)

    def to_json(self) -> dict[str, Any]:
        """The exact rule in plain values."""
        seeded: dict[str, Any] = {} if self.seed is None else {"seed": self.seed}
        seeded |= {"drop_cut": True} if self.drop_cut else {}
        return seeded | {
            "by": self.by,
            "order": self.order,
            "top": format_top(self.top),
            "range": None if self.range is None else list(self.range),
            "per": list(self.per),
            "drop_ifd_above": self.drop_ifd_above,
            "near_duplicates": self.near_duplicates,
            "ngram": self.ngram,
        }


def make_rule(by: str | None, top: str | None, random: str | None, seed: int | None, **others: Any) -> Rule:
    """The rule of the options --by, --top, --random and --seed, with the rule's other fields. Raises ConfigError."""
    if random is None:
        if by is None:
            raise ConfigError("expected --by with --top or --range, or --random")
        return Rule(by=by, top=None if top is None else parse_top(top), seed=seed, **others)
    if by is not None or top is not None or others.get("range") is not None or others.get("order") is not None:
        raise ConfigError("--random takes no --by, --top, --range or --order: it says how many, and draws them")
    return Rule(by=RANDOM, top=parse_top(random, "--random"), seed=seed or 0, **others)


def parse_top(text: str, option: str = "--top") -> Top:
    """`25%` as a share, `1000` as a number. Raises ConfigError, which names the option, for anything else."""
    try:
        if text.endswith("%"):
            share = Fraction(text.removesuffix("%")) / 100
            if 0 < share <= 1:
                return share
        elif (count := int(text)) > 0:
            return count
    except (ValueError, ZeroDivisionError):
        pass
    raise ConfigError(f"{option} {text}: expected a number of records such as 1000, or a share such as 25%")


def format_top(top: Top | None) -> int | str | None:
    """The opposite of `parse_top`; a share is exact."""
    return f"{top * 100}%" if isinstance(top, Fraction) else top


def parse_range(text: str) -> Range:
    """`0.2:0.9`, `0.2:` or `:0.9`. Raises ConfigError for anything else."""
    low, colon, high = text.partition(":")
    wrong = ConfigError(f"--range {text}: expected LOW:HIGH such as 0.2:0.9, of which one may be left out")
    try:
        minimum, maximum = float(low or "-inf"), float(high or "inf")
    except ValueError:
        raise wrong from None
    if not colon or not (low or high) or not minimum <= maximum:
        raise wrong
    return minimum if low else None, maximum if high else None
