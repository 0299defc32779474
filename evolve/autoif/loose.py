"""Objects as models write them: JSON, Python literals, and mixtures of both."""

from __future__ import annotations

import re
from typing import Any

_SPACE = re.compile(r"(?:\s|#[^\n]*\n|//[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[A-Za-z]+")
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_BLOCK = re.compile(r"""[rbfuRBFU]?(?P<end>\"{3}|'{3}|`{3,}[^\n`]*\n|~{3,}[^\n~]*\n)""")
_QUOTED = re.compile(r"""(?P<raw>[rR])?(?P<end>["'`])(?P<text>(?:\\.|(?!(?P=end))[^\\])*)(?P=end)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
# possessive, for a model that ends in an endless line of one sign must not cost quadratic time
_OPENING = re.compile(r"\s*+(`{3,}+|~{3,}+)[^\n]*+\n")
_QUOTES = frozenset("\"'`")
_DEPTH = 50


class NotLoose(ValueError):
    """The text is no such object."""


def read_object(text: str, at: int) -> dict[str, Any]:
    """The object that begins at `at` in `text`, whatever follows it. Raises NotLoose.

    Beside JSON it may have strings in single quotes, in triple quotes or in a code fence, with line breaks in them and
    backslashes that JSON does not know, several side by side as Python joins them; True, False and None; names without
    quotes; commas too many or too few; comments; and no closing brackets at the very end. What stands in triple
    quotes or a fence over several lines is taken as it is, for there a model writes code as code.
    """
    return _Reader(text, at).members(0)


def unescaped(text: str) -> str:
    """A string's text with its escapes resolved; backslashes that JSON does not know stay."""
    # two escapes are one character where it lies beyond the first 65,536
    return _ESCAPE.sub(_resolved, text).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def unfenced(text: str) -> str:
    """A text without the code fence around it, where there is one around all of it."""
    opening = _OPENING.match(text)
    return text[opening.end() :].rstrip().removesuffix(opening[1]).rstrip() if opening else text


class _Reader:
    """The place up to which `text` has been read."""

    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at

    def members(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._expect("{")
        while not self._ends("}"):
            name = self._name()
            self._expect(":")
            found[name] = self._value(depth + 1)
            while self._steps_over(","):
                pass
        return found

    def _elements(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self._expect("[")
        while not self._ends("]"):
            found.append(self._value(depth + 1))
            while self._steps_over(","):
                pass
        return found

    def _ends(self, bracket: str) -> bool:
        return self._peek() == "" or self._steps_over(bracket)

    def _name(self) -> str:
        self._peek()
        plain = _NAME.match(self._text, self._at)
        if plain is None:
            return self._string()
        self._at = plain.end()
        return plain[0]

    def _value(self, depth: int) -> Any:
        start = self._peek()
        if depth > _DEPTH:
            raise NotLoose("expected fewer brackets within brackets")
        if start == "{":
            return self.members(depth)
        if start == "[":
            return self._elements(depth)
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return _number(number[0])
        word = _WORD.match(self._text, self._at)
        if word and word[0].lower() in _WORDS:
            self._at = word.end()
            return _WORDS[word[0].lower()]
        return self._strings()

    def _strings(self) -> str:
        """One text, or several that Python would join."""
        inner = self._steps_over("(")
        texts = [self._string()]
        while self._steps_over("+") or self._peek() in _QUOTES:
            texts.append(self._string())
        if inner:
            self._expect(")")
        return "".join(texts)

    def _string(self) -> str:
        self._peek()
        if block := _BLOCK.match(self._text, self._at):
            return self._block(block["end"].rstrip(), block.end())
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is None:
            raise NotLoose("expected a text in quotes")
        self._at = quoted.end()
        return quoted["text"] if quoted["raw"] else unescaped(quoted["text"])

    def _block(self, opening: str, start: int) -> str:
        closing = opening[:3]
        end = self._text.find(closing, start)
        if end < 0:
            raise NotLoose(f"expected {closing} at the end of a text")
        self._at = end + len(closing)
        text = self._text[start:end]
        return text if "\n" in text else unescaped(text)

    def _peek(self) -> str:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def _steps_over(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _expect(self, character: str) -> None:
        if not self._steps_over(character):
            raise NotLoose(f"expected {character!r}")


def _number(text: str) -> int | float:
    if set(".eE") & set(text):
        return float(text)
    try:
        return int(text)
    except ValueError:
        # Python reads no whole number of more than 4,300 digits
        raise NotLoose("expected a shorter number") from None


def _resolved(match: re.Match[str]) -> str:
    escaped = match[1]
    if len(escaped) > 1:
        return chr(int(escaped[1:], 16))
    if escaped in "\"'\\/\n":
        return escaped
    return _ESCAPES.get(escaped, match[0])
