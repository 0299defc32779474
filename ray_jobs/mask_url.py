"""Hides what must not be read in URLs that stand in messages."""

from __future__ import annotations

import re

MASK = "***"
_PASSWORD = re.compile(r"(\w[\w+.-]*://[^\s/?#:@]*):[^\s/?#]*@")
_TOKEN_AS_USER = re.compile(r"(https?://)(?!\*\*\*@)[^\s/?#:@]+@", re.IGNORECASE)
_SECRET_NAMES = (
    r"[\w.~%-]*(?:signature|token|secret|passw|pwd|credential|auth|accesskey|api[-_]?key)[\w.~%-]*|sig|key|sas|code|jwt"
)
# a value ends where a message may go on: before a space, a quote, a bracket, or a comma or colon with a space after it
_SECRET_VALUE = re.compile(
    rf"(?<=[?&;])({_SECRET_NAMES})=[^\s&;#'\"<>()\[\]{{}}]*?(?=[:,.;]?(?:[\s&;#'\"<>()\[\]{{}}]|$))", re.IGNORECASE
)


def mask_url(text: str) -> str:
    """`text` with `***` for passwords and for query values that can be secret, in every URL in it.

    "https://me:word@host/a?sig=1&n=2: gone" -> "https://me:***@host/a?sig=***&n=2: gone". A user name without a
    password is taken for a token in an http URL; that of other URLs (`abfs://container@account`) stays.
    """
    if "://" not in text:
        return text
    text = _PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _TOKEN_AS_USER.sub(rf"\1{MASK}@", text)
    return _SECRET_VALUE.sub(rf"\1={MASK}", text)
