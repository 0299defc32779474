"""The prompts of AutoIF and its seed constraints, each replaceable by a file of the same name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from evolve.errors import TemplateError
from evolve.prompts import SHIPPED, Template, load_template

PLACEHOLDERS: Mapping[str, tuple[set[str], set[str]]] = {
    "augment": ({"instructions", "count"}, set()),
    "verify": ({"instruction"}, set()),
    "back_translate": ({"function"}, set()),
    "nli": ({"premise", "hypothesis"}, set()),
    "respond": ({"instruction", "query"}, set()),
    "quality": ({"instruction", "query"}, {"response"}),
}
"""The placeholders that each template must have and those that it may have."""
LITERAL = frozenset({"quality"})
"""Templates in which other names in braces are text: prompts for scores show the form of the reply so."""

CONSTRAINTS = "autoif/constraints"
TEMPLATES = frozenset({CONSTRAINTS, "autoif/system", *(f"autoif/{name}" for name in PLACEHOLDERS)})


@dataclass(frozen=True, slots=True)
class Templates:
    """One template a question."""

    augment: Template
    verify: Template
    back_translate: Template
    nli: Template
    respond: Template
    quality: Template

    @classmethod
    def load(cls, folder: Path | None = None) -> Templates:
        """Read all, from `folder` where it has them. Raises TemplateError for one that cannot be used."""
        return cls(
            **{
                name: load_template(f"autoif/{name}", *sets, folder, name in LITERAL)
                for name, sets in PLACEHOLDERS.items()
            }
        )

    def digest(self) -> str:
        """A short hash of all texts, for fingerprints."""
        texts = "\n".join(getattr(self, field.name).digest() for field in fields(self))
        return hashlib.blake2b(texts.encode(), digest_size=8).hexdigest()


def load_constraints(path: Path | None = None) -> tuple[str, ...]:
    """Seed instructions, one a line; blank lines and lines that start with # are skipped.

    Without `path`, the shipped ones. Raises TemplateError where the file cannot be read, holds none, or
    holds one twice.
    """
    path = path or SHIPPED / f"{CONSTRAINTS}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}: expected a UTF-8 text file with one instruction a line: {error}") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if line in seen:
            raise TemplateError(f"{path}: line {number} repeats line {seen[line]}: {line}")
        seen[line] = number
    if not seen:
        raise TemplateError(f"{path}: expected one instruction a line, found none")
    return tuple(seen)
