"""The method file of Auto Evol-Instruct: a method with where it comes from and how it fared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from evolve.errors import TemplateError
from evolve.prompts import Template, parse_template
from evolve.strategies.auto_evol import OPTIONAL, REQUIRED


@dataclass(frozen=True, slots=True)
class Models:
    """The models that took part in a search, by name or path."""

    evolver: str
    optimiser: str
    responder: str


@dataclass(frozen=True, slots=True)
class TunedOn:
    """The seeds that a search used. `dev_ids` are those to keep out of runs that are to be judged fairly."""

    source: str
    pool_rows: int
    dev_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """One version of a method.

    `text` is the prompt, with the placeholder {instruction}. `parent` is the fingerprint of the method it was made
    from, None for an initial one. `step` is the search's step that made it, 0 for an initial one. `failure_rates[t]`,
    in [0, 1], is the failure rate on the dev rows of the method that step t ended with, up to this one's own.
    `created_at` is when the search began, as ISO 8601.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    text: str
    fingerprint: str
    parent: str | None
    step: int
    failure_rates: tuple[float, ...]
    tuned_on: TunedOn
    models: Models
    created_at: str
    format: Literal[1] = 1

    def template(self) -> Template:
        """The prompt for `AutoEvol(method=...)`. Its digest is the fingerprint."""
        return Template("method", self.text)

    def to_json(self) -> bytes:
        """The method file: UTF-8 JSON, indented."""
        return _FILE.dump_json(self, indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes, source: str) -> Method:
        """Read a method file. `source` is its path or URL, for messages.

        Raises TemplateError where it is no method file, where the text's placeholders do not fit,
        or where text and fingerprint do not belong together.
        """
        try:
            method = _FILE.validate_json(data)
        except ValidationError as error:
            raise TemplateError(f"{source}: {_first_problem(error)}") from None
        template = check_method(method.text, source)
        if template.digest() != method.fingerprint:
            raise TemplateError(
                f"{source}: fingerprint: the text has {template.digest()}, the file says {method.fingerprint}; "
                "put a text of your own into auto_evol/method.txt in a template folder instead"
            )
        return method


_FILE = TypeAdapter(Method)


def check_method(text: str, source: str) -> Template:
    """The text as a method's prompt. Raises TemplateError, naming `source`, where its placeholders do not fit."""
    return parse_template("method", text, source, set(REQUIRED), set(OPTIONAL))


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, problem["loc"]))
    return f"expected a method file: {field + ': ' if field else ''}{problem['msg']}"
