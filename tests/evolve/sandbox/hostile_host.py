"""A host under attack: hundreds of descriptors, several servers at once, every hostile function. Prints a report.

    python tests/evolve/sandbox/hostile_host.py [DISABLED...]

Its own program, because what a sandbox can do depends on the user and the rights that its host was started with.
DISABLED are seccomp, namespaces or close_range, to do without. Needs the standard library only, so that it runs under
any Python that another user may start.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostile_functions import HOSTILE
from outside_view import Outside

from evolve.errors import SandboxError
from evolve.sandbox import DEFAULT_IMPORTS, CheckError, CheckResult, Limits, Sandbox, Verdict, kernel, seccomp

SERVERS = 3
DESCRIPTORS = 200
LIMITS = Limits(wall_seconds=3, cpu_seconds=0.4, memory_bytes=256 * 2**20, kills=1)
# What an attacker would want; the guards must hold without the import filter.
WIDE_IMPORTS = DEFAULT_IMPORTS | set(
    """_thread atexit builtins ctypes gc mmap multiprocessing multiprocessing.popen_fork os pickle resource signal
    socket subprocess sys threading""".split()
)
HONEST = "def evaluate(response):\n    return helper(response) > 3\ndef helper(response): return len(response)"

RUNS_INTO_THE_CLOCK = """infinite_loop infinite_loop_at_import sleep_for_ever catches_everything
    catastrophic_regex ignores_sigterm endless_output endless_del""".split()
EXPECTED: dict[str, set[str]] = {
    **{name: {"timeout"} for name in RUNS_INTO_THE_CLOCK},
    "recursion": {"exception"},
    "memory_list": {"memory"},
    "memory_doubling": {"memory", "timeout"},
    "parser_bomb": {"syntax"},
    "null_byte": {"syntax"},
    "sys_exit": {"exception"},
    "os_exit": {"killed"},
    "segfault": {"killed"},
    "abort": {"killed"},
    "deep_copied_generator": {"exception"},
    "lying_class": {"not_boolean"},
    "one_is_not_true": {"not_boolean"},
    "word_is_not_true": {"not_boolean"},
    "unpickles_on_the_way_out": {"not_boolean"},
    "forge_many_verdicts": {"killed"},
    "forge_nonsense": {"killed"},
    "close_everything": {"killed"},
    "find_the_secret": {"killed"},
}


def attack(box: Sandbox, name: str, outside: Outside) -> list[str]:
    """What went wrong while the function ran, and right after it."""
    target = f"{outside.port} {outside.folder / name} {os.getpid()}"
    results = box.check(HOSTILE[name], [target, target])
    wrong = [] if len(results) == 2 and not _fooled(name, results) else [f"{name}: {results}"]
    for _ in range(SERVERS):
        later = box.check(HONEST, ["abc", "four"])
        if later != [Verdict(False), Verdict(True)]:
            wrong.append(f"a verdict after {name}: {later}")
    return wrong


def _fooled(name: str, results: list[CheckResult]) -> bool:
    first = results[0]
    unexpected = name in EXPECTED and not (isinstance(first, CheckError) and first.kind in EXPECTED[name])
    return unexpected or Verdict(True) in results


CLOSE_RANGE, UNSHARE = 436, 272
"""Numbers of x86-64's table."""


def refuse(call: int) -> None:
    """Let this process and its children have no such call, as under an older kernel or a container's filter."""
    load, jump_if_equal, give = 0x20, 0x15, 0x06
    refused, allowed = 0x0005_0001, 0x7FFF_0000
    lines = ((load, 0, 0, 0), (jump_if_equal, 0, 1, call), (give, 0, 0, refused), (give, 0, 0, allowed))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(b"".join(struct.pack("=HBBI", *line) for line in lines))


def report(disabled: list[str]) -> dict[str, object]:
    """Attack a sandbox with every function, as many at once as it has servers."""
    if "close_range" in disabled:
        refuse(CLOSE_RANGE)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for _ in range(DESCRIPTORS):
            stack.enter_context(socket.socket())
        disable = [mechanism for mechanism in ("seccomp", "namespaces") if mechanism in disabled]
        box = stack.enter_context(Sandbox(LIMITS, imports=WIDE_IMPORTS, disable=disable, servers=SERVERS))
        for _ in range(SERVERS):
            box.check(HONEST, ["four"])
        # A replaced server would show as other processes: a function must not get that far either.
        outside = Outside(folder)
        stack.callback(outside.close)
        with ThreadPoolExecutor(SERVERS) as pool:
            wrong = [line for lines in pool.map(lambda name: attack(box, name, outside), HOSTILE) for line in lines]
        return {"guards": box.guards(), "wrong": wrong, "damage": outside.damage()}


if __name__ == "__main__":
    os.environ["EVOLVE_TEST_SECRET"] = "visible"
    try:
        print(json.dumps(report(sys.argv[1:])))
    except SandboxError as error:
        print(json.dumps({"refused": str(error)}))
