"""Runs model-written Python functions, which are hostile until proven otherwise.

A `Sandbox` keeps one or more *server* processes. Each has shed its environment and privileges, has loaded the
modules that functions may import, and forks one *worker* a function: the worker locks itself in, runs the
function over all inputs and reports a verdict each; the server times every call from outside and kills the
worker and everything it started. A worker that misbehaved is replaced, so one call cannot spoil the next.

What holds a worker in, where the system offers it (`Sandbox.guards` says what it does offer):

- seccomp: an allow-list of system calls that work on memory, clocks and open descriptors only, so no files,
  sockets, processes, threads or signals to others (x86-64);
- user, mount, PID, network, IPC and UTS namespaces: an empty read-only root, no network interface, no shared
  memory of System V (Linux 6.9), and a PID namespace whose processes all die together;
- without seccomp, a PID namespace a worker, from where it can name neither its server nor any other process;
- resource limits (address space, CPU time, file size, processes, and no new descriptor of any kind),
  no_new_privs, an unprivileged user where started as root, no capabilities, no core dumps;
- a fresh fork a function, in a session of its own, whose only descriptors are the null device (0 to 2) and the
  pipe for its verdicts (3). The server closes all others, however large their numbers, and a server from whose
  worker another descriptor can be seen does not start;
- a secret a request: the host believes only the answer that repeats the 32 random bytes of its request. They are
  written to a page that a worker's memory lacks, while no worker lives, and are never used twice. A function
  that could write to its server's channel all the same would lose its own verdict and change no other.

Either seccomp or the namespaces are enough for every protection, the latter where /proc/sys can be written.
Namespaces are refused in many containers, and to root without capabilities; seccomp then holds alone. Where
neither is to be had, a function could change the limits of its server, or kill it, and read files: the
protections that are missing have to be left out of `required` by name, or the sandbox does not start.

bubblewrap would add nothing here: it needs the same user namespaces, and it starts a program, where a fork
of a warm interpreter is what makes thousands of checks a second possible.

Not covered:

- bugs of the kernel that an allowed system call can reach, and of the processor (timing side channels);
- lies: a function that misbehaves can have any verdict for itself, for all its inputs, as it could by returning
  it. It cannot touch another function's;
- the import allow-list is a filter, not a guard: Python code can reach every module the interpreter has
  loaded through its objects. The guards above do not rely on it;
- the sum over workers: each may use its full memory and CPU limit, so `servers` times `Limits.memory_bytes`
  must fit in the machine;
- covert channels through machine load, and what a function can learn of the machine from clocks, the CPU's
  features, or the interpreter's own memory (its version, its file paths, and what is left in it of the functions
  that its server ran before, with their inputs; no environment, no secrets);
- without seccomp, the system calls that need no descriptor and name no process: a function may then read the
  kernel's log where the machine shows it to every user, leave some 20 kB in the kernel's keyring for later
  functions of its server, and cause a sync of the disks;
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
