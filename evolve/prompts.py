"""Prompt templates: text files with `{placeholders}` that a user can replace with files of the same name.

Only a lower-case name in braces is a placeholder, so JSON and code in a template keep their braces.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from evolve.errors import TemplateError

SHIPPED = Path(__file__).parent / "templates"
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with placeholders that were checked when it was loaded."""

    name: str
    text: str

    def render(self, **values: str) -> str:
        """Fill every placeholder in one pass: braces inside a value are never read as placeholders.

        A name in braces that has no value stays as it is; only a template loaded with `literal` can hold one.
        """
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.text)

    def digest(self) -> str:
        """A short hash of the text, for fingerprints."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()


def load_template(
    name: str,
    required: set[str],
    optional: set[str] | None = None,
    folder: Path | None = None,
    literal: bool = False,
    shipped: Path = SHIPPED,
) -> Template:
    """Read template `name` (such as "evol_instruct/deepen") from `folder`, or that in `shipped` where it has none.

    A byte-order mark, which some editors write, is no part of the text. Raises TemplateError, naming the file,
    where a required placeholder is missing, one is unknown, or the file is not UTF-8 text. With `literal` an unknown
    name in braces is text, as in a prompt that shows a form such as "Score: {score}", unless it looks like a
    placeholder with a slip.
    """
    own = folder / f"{name}.txt" if folder else None
    path = own if own and own.exists() else shipped / f"{name}.txt"
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path}: expected UTF-8 text, got a byte that is not, at position {error.start}") from None
    except OSError as error:
        raise TemplateError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_template(name, text, str(path), required, optional, literal)


def parse_template(
    name: str,
    text: str,
    source: str,
    required: set[str],
    optional: set[str] | None = None,
    literal: bool = False,
) -> Template:
    """A template from `text`, stripped. Raises TemplateError, naming `source`, where its placeholders do not fit."""
    _check(source, text, required, required | (optional or set()), literal)
    return Template(name, text.strip())


def shipped_names(shipped: Path = SHIPPED) -> set[str]:
    """The names of all templates in the folder `shipped`."""
    return {path.relative_to(shipped).with_suffix("").as_posix() for path in shipped.rglob("*.txt")}


def check_folder(folder: Path, known: set[str]) -> None:
    """Refuse a template folder that does not exist or holds files that no template is named after.

    `known` are template names such as "evol_instruct/deepen". Raises TemplateError.
    """
    if not folder.is_dir():
        raise TemplateError(f"{folder}: expected a folder of templates, found none")
    for path in sorted(folder.rglob("*.txt")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            hint = f"; did you mean {near[0]}.txt?" if near else ""
            raise TemplateError(f"{path}: no template is named {name}{hint} (known: {', '.join(sorted(known))})")


def _check(source: str, text: str, required: set[str], allowed: set[str], literal: bool) -> None:
    found = set(_PLACEHOLDER.findall(text))
    if missing := sorted(required - found):
        raise TemplateError(f"{source}: placeholder {{{missing[0]}}} is missing")
    for name in sorted(found - allowed):
        near = get_close_matches(name, allowed, 1, 0.6)
        if literal and not near:
            continue
        hint = f"; did you mean {{{near[0]}}}?" if near else ""
        expected = ", ".join(f"{{{item}}}" for item in sorted(allowed))
        raise TemplateError(f"{source}: unknown placeholder {{{name}}}{hint} (allowed: {expected})")
