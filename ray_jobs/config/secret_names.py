"""Where in a configuration a secret may stand, told by names, and how the rest of it is shown to people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evolve.masking import MASK, looks_secret, mask_text

FROM = "from"
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[\w.-]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_ALWAYS = {
    "apikey",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "sas",
    "secret",
    "signature",
    "token",
}
_KEYS = {"access", "account", "api", "auth", "client", "encryption", "master", "private", "secret", "shared", "sse"}
"""What makes a key secret that follows it."""
_SPECIAL = {"audio", "bos", "cls", "end", "eos", "image", "mask", "pad", "sep", "special", "start", "unk", "video"}
"""What makes a token one of a tokenizer's that precedes it."""
_PRIVATE_GROUPS = {"arguments", "environment", "headers", "notify", "storage"}
_VARIABLE_FIELDS = {"api_key_env", "key_variable", FROM}
"""Fields for names of variables, where people put the value by mistake."""
_NAMED_GROUPS = ("evolvers", "engines")


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret: hf_token, api_key, aws_secret_access_key, connection_string, …

    Not the counts and places of tokens, nor a tokenizer's own ones: max_num_batched_tokens, token_budget, pad_token.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    match words:
        case []:
            return False
        case ["key" | "keys"]:
            return True
        case [*_, before, "token" | "tokens"] if before in _SPECIAL:
            return False
        case [*_, "connection", "string"]:
            return True
        case [*before, "key" | "keys"]:
            return bool(_KEYS & set(before))
        case _:
            return words[-1] in _ALWAYS


def is_reference(value: Any) -> bool:
    """Whether `value` is {from: NAME}, which takes a value from the environment variable NAME."""
    return isinstance(value, Mapping) and list(value) == [FROM] and is_variable(value[FROM])


def concealed_setting(path: Sequence[str], value: Any) -> Any:
    """The setting at `path` as it may be shown: what may be secret is masked, a group of such settings whole."""
    if is_reference(value) or value is None or isinstance(value, bool):
        return value
    if _is_private(path):
        return MASK
    if isinstance(value, Mapping):
        return {shown_name(str(name)): concealed_setting((*path, str(name)), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [concealed_setting(path, item) for item in value]
    return mask_text(value) if isinstance(value, str) else value


def shown_name(name: str) -> str:
    """The name of a setting as it may be shown: what a forgotten colon has made part of it is masked."""
    masked = mask_text(name)
    found = re.match(r"([^=:]*[=:]\s*).+", masked, re.DOTALL)
    return f"{found[1]}{MASK}" if found else masked


def plain_name(name: str) -> str:
    """As `shown_name`, for a place where names are plain words: what follows the first other character is masked."""
    plain = _PLAIN.match(name)
    assert plain is not None
    return shown_name(name) if plain[0] == name else f"{plain[0]}{MASK}"


def shown_path(path: Sequence[str]) -> str:
    """A dotted path as it may be shown."""
    return ".".join(
        plain_name(part) if _PRIVATE_GROUPS & set(path[:index]) else shown_name(part) for index, part in enumerate(path)
    )


def _is_private(path: Sequence[str]) -> bool:
    # an evolver may have any name
    names = [part for index, part in enumerate(path) if not (index == 1 and path[0] in _NAMED_GROUPS)]
    return any(part in _PRIVATE_GROUPS or part in _VARIABLE_FIELDS or is_secret_name(part) for part in names)


def is_variable(name: Any) -> bool:
    """Whether `name` can be that of an environment variable, and has not the shape of a key."""
    return isinstance(name, str) and VARIABLE_NAME.fullmatch(name) is not None and not looks_secret(name)
