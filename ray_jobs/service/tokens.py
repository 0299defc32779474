"""Who may ask: named bearer tokens. Of a token only a digest is kept, in a file that its owner alone can read.

Tokens are 256 random bits, so that a plain digest of one tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ray_jobs.errors import ConfigError

VARIABLE = "EVOLVE_SERVICE_TOKENS"
"""The variable with tokens as "NAME=TOKEN, NAME=TOKEN"; one without a name is called `environment`."""
FILE_VARIABLE = "EVOLVE_SERVICE_TOKEN_FILE"
"""The variable that names the file of tokens."""
MIN_CHARACTERS = 16
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def owner(token: str, digests: Mapping[str, str]) -> str | None:
    """The name of a token; None of one that is none. Takes as long whichever it is, and however near it comes."""
    asked, found = digest(token), None
    for name, kept in digests.items():
        if hmac.compare_digest(asked, kept):
            found = name
    return found


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The digests of the environment's tokens. Raises ConfigError, which shows none of them."""
    found = dict[str, str]()
    for item in filter(None, map(str.strip, environment.get(VARIABLE, "").split(","))):
        name, equals, token = item.partition("=")
        name, token = (name, token) if equals else ("environment", item)
        if not _NAME.fullmatch(name) or len(token) < MIN_CHARACTERS or name in found:
            raise ConfigError(
                f"{VARIABLE}: expected NAME=TOKEN, each name once, of {MIN_CHARACTERS} characters or more"
            )
        found[name] = digest(token)
    return found


def token_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where tokens are kept on this machine, for its user."""
    if named := environment.get(FILE_VARIABLE):
        return Path(named).absolute()
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "slm-evolve" / "tokens.json"


def own_token(beside: Path) -> str:
    """The token of runs that ask the service which started them, kept beside its tokens' file for those who go on.

    It is the one in a file that its owner alone can read, for runs must know it after the service has begun anew.
    """
    path = beside.with_name("run-token")
    with suppress(FileNotFoundError, UnicodeDecodeError):
        # one that others may have read, or that was cut short, is none
        if not path.stat().st_mode & 0o077 and len(token := path.read_text(encoding="ascii")) >= MIN_CHARACTERS:
            return token
    token = new_token()
    _write(path, token)
    return token


def _write(path: Path, text: str) -> None:
    """Put a file in its place, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


class TokenFile:
    """Tokens in a file, which is read again whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._digests: dict[str, str] = {}

    def digests(self) -> Mapping[str, str]:
        """The digests of all tokens by name. Raises ConfigError where the file is damaged or others can read it."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return {}
        if state.st_mode & 0o077:
            raise ConfigError(f"{self._path}: others can read or write it; expected mode 0600")
        if (stamp := (state.st_mtime_ns, state.st_ino)) != self._stamp:
            self._digests, self._stamp = self._read(), stamp
        return self._digests

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise ConfigError(f"{self._path}: expected tokens' digests by name, as `evolve tokens` writes them")
        return found

    def add(self, name: str) -> str:
        """Make a token, and return it: it can never be seen again. Raises ConfigError."""
        known = dict(self.digests())
        if not _NAME.fullmatch(name) or name in known:
            raise ConfigError(f"token {name}: expected a new name of letters, digits, '.', '_' and '-'")
        token = new_token()
        _write(self._path, json.dumps({**known, name: digest(token)}))
        return token

    def revoke(self, name: str) -> None:
        """Forget a token. Raises ConfigError where there is none of this name."""
        known = dict(self.digests())
        if name not in known:
            raise ConfigError(f"token {name}: there is none (known: {', '.join(sorted(known)) or 'none'})")
        _write(self._path, json.dumps({other: kept for other, kept in known.items() if other != name}))
