"""The worker's side of a check: lock this process in, then run one function over inputs.

Everything here runs in a process that the function may take over; whoever reads its verdicts trusts nothing.
"""

from __future__ import annotations

import builtins
import math
import os
import random
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Any

from evolve.sandbox import kernel, seccomp
from evolve.sandbox.records import ErrorKind, Limits

VERDICT_PIPE = 3
"""The one descriptor of a worker beside its standard streams, which lead nowhere."""

HOLDS, FAILS = b"T", b"F"
ERROR_CODES: Mapping[bytes, ErrorKind] = {
    b"s": "syntax",
    b"i": "import",
    b"e": "exception",
    b"m": "memory",
    b"n": "not_boolean",
    b"a": "no_evaluate",
}
_CODE_OF = {kind: code for code, kind in ERROR_CODES.items()}
DETAIL_BYTES = 200


def lock_in(limits: Limits, calls: int, verdicts: int, filter_program: bytes | None) -> None:
    """Give up all that a function must not have. Raises OSError where a guard that was promised fails."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    # Signals and priorities reach a process group across PID namespaces, and the server is in ours.
    os.setsid()
    os.dup2(verdicts, VERDICT_PIPE)
    kernel.close_from(VERDICT_PIPE + 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.drop_capabilities()
    cpu = math.ceil(limits.cpu_seconds * calls) + 1
    for kind, maximum in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        # No new descriptor at all, so no file and no socket of whatever family; those that are open stay.
        (resource.RLIMIT_NOFILE, 0),
    ):
        resource.setrlimit(kind, (maximum, maximum))
    if filter_program is not None:
        seccomp.install(filter_program)


def run(source: str, inputs: Sequence[str], imports: frozenset[str]) -> None:
    """Write one verdict an input to the pipe. Ends early after a memory error, whose process is not reliable."""
    try:
        code = compile(source, "<function>", "exec", dont_inherit=True)
    except MemoryError:
        return _report("memory", "while compiling")
    except Exception as error:  # compile raises SyntaxError, ValueError, RecursionError, OverflowError…
        for _ in inputs:
            _report("syntax", _describe(error))
        return None
    for text in inputs:
        if _call(code, text, imports) == "memory":
            return None
    return None


def _call(code: CodeType, text: str, imports: frozenset[str]) -> ErrorKind | None:
    try:
        # Repeatable: a function that draws numbers draws the same ones in every call.
        random.seed(0)
        space: dict[str, Any] = {"__name__": "function", "__builtins__": _builtins(imports)}
        exec(code, space)
        evaluate = space.get("evaluate")
        if not callable(evaluate):
            return _failed("no_evaluate", "the source defines no function named evaluate")
        answer = evaluate(text)
    except MemoryError:
        return _failed("memory", "")
    except ImportError as error:
        return _failed("import", _describe(error))
    except BaseException as error:  # SystemExit, KeyboardInterrupt and whatever else a function may raise
        return _failed("exception", _describe(error))
    if answer is True or answer is False:
        os.write(VERDICT_PIPE, HOLDS + b"\0" if answer else FAILS + b"\0")
        return None
    return _failed("not_boolean", f"evaluate returned {type(answer).__name__}")


def _failed(kind: ErrorKind, detail: str) -> ErrorKind:
    _report(kind, detail)
    return kind


def _report(kind: ErrorKind, detail: str) -> None:
    body = detail.encode("utf-8", "replace")[:DETAIL_BYTES]
    os.write(VERDICT_PIPE, _CODE_OF[kind] + bytes((len(body),)) + body)


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {str(error)[:DETAIL_BYTES]}"
    except BaseException:  # the error's own __str__ is the function's code too
        return "an exception that cannot be printed"


def _builtins(imports: frozenset[str]) -> dict[str, Any]:
    return {**vars(builtins), "__import__": _importer(imports)}


def _importer(imports: frozenset[str]) -> Callable[..., Any]:
    """`__import__` for the function's own code; modules that it imports keep the real one."""

    def allowed(name: str) -> bool:
        return any(name == item or name.startswith(f"{item}.") or item.startswith(f"{name}.") for item in imports)

    def restricted(name: str, *arguments: Any, **named: Any) -> Any:
        if not allowed(name):
            raise ImportError(f"import of {name} is not allowed")
        return __import__(name, *arguments, **named)

    return restricted
