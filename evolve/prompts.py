"""Prompt templates: text files with `{placeholders}` that a user can replace with files of the same name.

Only a lower-case name in braces is a placeholder, so JSON and code in a template keep their braces.

Beside the prompts of a folder stands `system.txt`, the system prompt that goes before each of them. The shipped ones
are empty, and an empty one is none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from evolve.errors import TemplateError
from evolve.records import Message

SHIPPED = Path(__file__).parent / "templates"
SYSTEM = "system"
TemplateSource = Path | Mapping[str, str]
"""Templates of a user's own: a folder, or the texts themselves by name, such as "evol_instruct/deepen"."""
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with placeholders that were checked when it was loaded, and the system prompt before it, if any."""

    name: str
    text: str
    system: str = ""

    def render(self, **values: str) -> str:
        """Fill every placeholder in one pass: braces inside a value are never read as placeholders.

        A name in braces that has no value stays as it is; only a template loaded with `literal` can hold one.
        """
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self.text)

    def messages(self, **values: str) -> tuple[Message, ...]:
        """The conversation: the system prompt as it is, if any, and a user's turn, as `render` fills it."""
        return with_system(self.system, self.render(**values))

    def digest(self) -> str:
        """A short hash of the text, and of a system prompt that is not empty, for fingerprints."""
        whole = f"{self.text}\0{self.system}" if self.system else self.text
        return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def load_template(
    name: str,
    required: set[str],
    optional: set[str] | None = None,
    folder: TemplateSource | None = None,
    literal: bool = False,
    shipped: Path = SHIPPED,
) -> Template:
    """Read template `name` (such as "evol_instruct/deepen") from `folder`, or that in `shipped` where it has none.

    With it comes the system prompt of the template's own folder, such as "evol_instruct/system".

    A byte-order mark, which some editors write, is no part of the text. Raises TemplateError, naming the file,
    where a required placeholder is missing, one is unknown, or the file is not UTF-8 text. With `literal` an unknown
    name in braces is text, as in a prompt that shows a form such as "Score: {score}", unless it looks like a
    placeholder with a slip.
    """
    source, text = _read(name, folder, shipped)
    template = parse_template(name, text, source, required, optional, literal)
    return replace(template, system=load_system(name.rpartition("/")[0], folder, shipped))


def load_system(group: str, folder: TemplateSource | None = None, shipped: Path = SHIPPED) -> str:
    """The system prompt of the templates in `group`, such as "evol_instruct"; empty where there is none.

    It is looked for in `folder`, then in `shipped`. Raises TemplateError where the file is not UTF-8 text.
    """
    name = f"{group}/{SYSTEM}"
    there = any(_has(place, name) for place in (folder, shipped) if place)
    return _read(name, folder, shipped)[1] if there else ""


def with_system(system: str, text: str) -> tuple[Message, ...]:
    """A user's turn `text`, below the prompt `system` where that is not empty."""
    before = (Message("system", system),) if system else ()
    return (*before, Message("user", text))


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


def placeholders_of(text: str) -> list[str]:
    """The placeholders of a text, each once, in order."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def check_folder(folder: TemplateSource, known: set[str]) -> None:
    """Refuse a template folder that does not exist or holds files that no template is named after.

    `known` are template names such as "evol_instruct/deepen"; the names of texts are told like files'. Raises
    TemplateError.
    """
    if isinstance(folder, Path) and not folder.is_dir():
        raise TemplateError(f"{folder}: expected a folder of templates, found none")
    for name, source in _names(folder):
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            suffix = ".txt" if isinstance(folder, Path) else ""
            hint = f"; did you mean {near[0]}{suffix}?" if near else ""
            raise TemplateError(f"{source}: no template is named {name}{hint} (known: {', '.join(sorted(known))})")


def _names(folder: TemplateSource) -> list[tuple[str, str]]:
    """The templates of a source, each with where it stands."""
    if isinstance(folder, Path):
        return [
            (path.relative_to(folder).with_suffix("").as_posix(), str(path)) for path in sorted(folder.rglob("*.txt"))
        ]
    return [(name, _setting(name)) for name in sorted(folder)]


def _setting(name: str) -> str:
    return f"templates.{name}"


def _has(source: TemplateSource, name: str) -> bool:
    return (source / f"{name}.txt").exists() if isinstance(source, Path) else name in source


def _read(name: str, folder: TemplateSource | None, shipped: Path) -> tuple[str, str]:
    """Where a template stands, and its text."""
    own = folder is not None and _has(folder, name)
    if own and isinstance(folder, Mapping):
        return _setting(name), folder[name].strip()
    path = (folder if own and isinstance(folder, Path) else shipped) / f"{name}.txt"
    try:
        return str(path), path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path}: expected UTF-8 text, got a byte that is not, at position {error.start}") from None
    except OSError as error:
        raise TemplateError(f"{path}: cannot be read: {error.strerror}") from None


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
