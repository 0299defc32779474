"""Runs model-written Python functions, which are hostile until proven otherwise.

A `Sandbox` keeps one or more *server* processes. Each has shed its environment and privileges, has loaded the
modules that functions may import, and forks one *worker* a function: the worker locks itself in, runs the
function over all inputs and reports a verdict each; the server times every call from outside and kills the
worker and everything it started. A worker that misbehaved is replaced, so one call cannot spoil the next.

What holds a worker in, where the system offers it (`Sandbox.guards` says what it does offer):

- seccomp: an allow-list of system calls that work on memory, clocks and open descriptors only, so no files,
  sockets, processes, threads or signals to others (x86-64);
- user, mount, PID, network, IPC and UTS namespaces: an empty read-only root, no network interface, and a
  PID namespace whose processes all die together;
- resource limits (address space, CPU time, file size, descriptors, processes), no_new_privs, an unprivileged
  user where started as root, no capabilities, no core dumps;
- a fresh fork a function, a fresh namespace a call, and a verdict pipe that belongs to this fork alone.

bubblewrap would add nothing here: it needs the same user namespaces, and it starts a program, where a fork
of a warm interpreter is what makes thousands of checks a second possible.

Not covered:

- bugs of the kernel that an allowed system call can reach, and of the processor (timing side channels);
- lies: a function that misbehaves can have any verdict for itself, as it could by returning it. It cannot
  touch another function's;
- the import allow-list is a filter, not a guard: Python code can reach every module the interpreter has
  loaded through its objects. The guards above do not rely on it;
- the sum over workers: each may use its full memory and CPU limit, so `servers` times `Limits.memory_bytes`
  must fit in the machine;
- covert channels through machine load, and what a function can learn of the machine from clocks, the CPU's
  features, or the interpreter's own memory (its version, its file paths; no environment, no secrets);
- state between the calls of one function in one worker: each call gets new globals, but a function that
  patches the interpreter spoils its own later calls, and only those;
- hosts other than Linux.
"""

from evolve.sandbox.host import Sandbox
from evolve.sandbox.records import (
    DEFAULT_IMPORTS,
    PROTECTIONS,
    CheckError,
    CheckResult,
    ErrorKind,
    Guards,
    Limits,
    Mechanism,
    Protection,
    Verdict,
)

__all__ = [
    "DEFAULT_IMPORTS",
    "PROTECTIONS",
    "CheckError",
    "CheckResult",
    "ErrorKind",
    "Guards",
    "Limits",
    "Mechanism",
    "Protection",
    "Sandbox",
    "Verdict",
]
