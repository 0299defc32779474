"""Keeping secrets out of texts: passwords and tokens in URLs, keys that show by their shape, and known values.

Pure functions. What they cannot know is a secret of no known shape in a text that was made elsewhere: whoever hands a
secret to a library wraps the call in `concealed`.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from evolve.errors import EvolveError

MASK = "***"
SHORTEST = 6
"""Known values of fewer characters are not looked for: "1" would be found in every message."""

# possessive or bounded where a text may hold many beginnings of what never ends: lines are as long as what broke
_SHAPES = re.compile(
    r"""\b(?:
        hf_[A-Za-z0-9]{16,}                           # Hugging Face
      | (?:sk|rk|pk)-[A-Za-z0-9_-]{16,}               # OpenAI and many that took after it
      | (?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{16,}   # GitHub
      | glpat-[A-Za-z0-9_-]{16,}                      # GitLab
      | (?:AKIA|ASIA)[A-Z0-9]{12,}                    # AWS
      | AIza[A-Za-z0-9_-]{30,}                        # Google
    )|(?<![A-Za-z0-9_-])(?=(?:[A-Za-z0-9_-]*-)?eyJ[A-Za-z0-9_-]{8})  # a JSON web token, and what a dash ties to it
      [A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*
    |(?<=Bearer\ )[^\s'"]{8,}|(?<=Basic\ )[A-Za-z0-9+/=]{8,}""",
    re.VERBOSE,
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s'\"<>]+")
_WEB = re.compile(r"\bhttps?$")
_PORT = re.compile(r"[^:]*(?::\d*)?|\[[^\]]*\](?::\d*)?")
_QUERY = re.compile(r"([^?#]*)([?#]?)(.*)", re.DOTALL)
_VALUE = re.compile(r"(?<==)[^&;]+")


def mask_url(url: str) -> str:
    """`url` without what may be secret in it: a login, and the values of its query and fragment.

    Anything else, a path or a pattern included, stays as it is: "https://u:p@h/x?sig=s" -> "https://***@h/x?sig=***".
    """
    pieces = url.split("://")
    web = [_WEB.search(piece) is not None for piece in pieces]
    return "://".join([pieces[0], *map(_mask_rest, pieces[1:], web)])


def mask_text(text: str) -> str:
    """`text` with every URL in it as `mask_url` makes it, and without keys that show by their shape."""
    return _SHAPES.sub(MASK, _URL.sub(lambda found: mask_url(found[0]), text))


def looks_secret(text: str) -> bool:
    """Whether `text` has the shape of a key."""
    return _SHAPES.search(text) is not None


def without(text: str, secrets: Iterable[str]) -> str:
    """`text` as `mask_text` makes it and without the known `secrets`, as they are or as URLs and reprs hold them."""
    for secret in sorted({form for item in secrets if len(item) >= SHORTEST for form in _forms(item)}, key=len)[::-1]:
        text = text.replace(secret, MASK)
    return mask_text(text)


@contextmanager
def concealed(secrets: Iterable[str]) -> Iterator[None]:
    """Let no error out whose message, or a cause's, holds one of `secrets`: it is raised anew, masked, without cause.

    An EvolveError keeps its class; any other, one of the packages above this included, becomes a RuntimeError that
    names its class.
    """
    try:
        yield
    except Exception as error:  # whatever a library raises may repeat what it was given
        text = "".join(traceback.format_exception(error))
        if without(text, secrets) == text:
            raise
        message = without(str(error), secrets)
        if isinstance(error, EvolveError):
            raise type(error)(message) from None
        raise RuntimeError(f"{type(error).__name__}: {message}") from None


class MaskedFormatter(logging.Formatter):
    """A formatter of logs that masks whole lines, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """The line as `mask_text` makes it."""
        return mask_text(super().format(record))


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), repr(secret)[1:-1]}


def _mask_rest(rest: str, web: bool) -> str:
    """What follows "://", masked. A "?" begins a query in a `web` address, elsewhere it may stand in a pattern.

    A password goes to the last "@": rather a path too short than half a password.
    """
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # a password may hold characters that it should not: what stands before "@" then looks like a host with a wrong port
    odd = "@" not in authority and "@" in rest and not _PORT.fullmatch(authority)
    # the container of an account's store is no login: abfs://CONTAINER@ACCOUNT/PATH
    container = not web and ":" not in authority and not odd
    if ("@" in authority or odd) and not container:
        rest = f"{MASK}@{rest.rpartition('@')[2]}"
    place, mark, query = _QUERY.match(rest).groups()  # type: ignore[union-attr]  # matches every text
    if not query:
        return rest
    return f"{place}{mark}{_VALUE.sub(MASK, query) if '=' in query else MASK if web and mark == '?' else query}"
