"""The sandbox's values: limits, guards and what a check gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evolve.errors import SandboxError

ErrorKind = Literal[
    "syntax", "import", "exception", "timeout", "memory", "killed", "not_boolean", "no_evaluate", "abandoned"
]
"""Why a call gave no verdict. `killed`: the process ended by itself or by a signal. `abandoned`: not run,
because the function had used up `Limits.kills`."""

Protection = Literal["network", "files", "processes", "resources", "privileges", "verdicts"]
"""What a function is kept from: `processes` are new ones and all but its own, `resources` are more memory and time
than `Limits` allow, `verdicts` are those of other functions and the servers that give them."""

Mechanism = Literal[
    "seccomp",
    "empty_root",
    "network_namespace",
    "pid_namespace",
    "ipc_namespace",
    "uts_namespace",
    "worker_namespaces",
    "rlimits",
    "no_new_privs",
    "unprivileged_user",
]

PROTECTED_BY: Mapping[Protection, tuple[Mechanism, ...]] = {
    "network": ("seccomp", "network_namespace"),
    "files": ("seccomp", "empty_root"),
    "processes": ("seccomp", "pid_namespace"),
    "resources": ("rlimits",),
    "privileges": ("no_new_privs", "unprivileged_user"),
    "verdicts": ("seccomp", "worker_namespaces"),
}
"""Each protection holds where one of its mechanisms is active and no attempt to break it succeeds at start."""

PROTECTIONS: frozenset[Protection] = frozenset(PROTECTED_BY)

Guards = Mapping[Protection, tuple[Mechanism, ...]]
"""The active mechanisms of each protection that holds."""

DEFAULT_IMPORTS: frozenset[str] = frozenset(
    """__future__ abc array ast base64 binascii bisect calendar cmath codecs collections colorsys copy csv
    dataclasses datetime decimal difflib enum fractions functools hashlib heapq html.parser io itertools json
    keyword locale math numbers operator pprint random re secrets statistics string struct textwrap time token
    tokenize types typing unicodedata urllib.parse uuid warnings xml.etree.ElementTree zlib zoneinfo""".split()
)
"""What a verification function may import unless told otherwise: text, numbers and data structures."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one function may use.

    `wall_seconds` and `cpu_seconds` hold for one call; the first call also pays for compiling the source.
    `memory_bytes` is the worker's whole address space, of which the interpreter takes some 30 MiB. After
    `kills` calls that had to be killed, a function's other inputs are not run. A worker can start no
    process and no thread, write no file, and its output goes nowhere: these are not adjustable.
    """

    wall_seconds: float = 5.0
    cpu_seconds: float = 5.0
    memory_bytes: int = 512 * 2**20
    kills: int = 3

    def __post_init__(self) -> None:
        for name in ("wall_seconds", "cpu_seconds", "memory_bytes", "kills"):
            value = getattr(self, name)
            if not value > 0:
                raise SandboxError(f"limits.{name}: expected a number above 0, got {value!r}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`evaluate` returned a boolean."""

    holds: bool


@dataclass(frozen=True, slots=True)
class CheckError:
    """`evaluate` gave no boolean. `detail` is at most 200 characters, and is the function's own word: untrusted."""

    kind: ErrorKind
    detail: str = ""


CheckResult = Verdict | CheckError
