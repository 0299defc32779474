"""The seccomp filter of a worker: an allow-list of system calls, as classic BPF (seccomp(2), x86-64 only).

A refused call returns EPERM rather than killing, so that a function that tries gets an exception and a verdict
of its own; a call through another architecture's table kills the worker.
"""

from __future__ import annotations

import ctypes
import platform
import struct

from evolve.sandbox import kernel

ALLOWED = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "poll": 7,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "nanosleep": 35,
    "getpid": 39,
    "exit": 60,
    "gettimeofday": 96,
    "getrusage": 98,
    "times": 100,
    "sigaltstack": 131,
    "gettid": 186,
    "time": 201,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "getrandom": 318,
    "rseq": 334,
}
"""Names and numbers from the kernel's table (arch/x86/entry/syscalls/syscall_64.tbl)."""

_AUDIT_ARCH_X86_64 = 0xC000_003E
_RET_ALLOW = 0x7FFF_0000
_RET_EPERM = 0x0005_0001
_RET_KILL_PROCESS = 0x8000_0000
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4
_MODE_FILTER = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def supported() -> bool:
    """Whether this machine's system-call table is the one that the filter knows."""
    return platform.machine() == "x86_64"


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def program() -> bytes:
    """The filter: other architectures die, allowed numbers pass, everything else gets EPERM."""
    numbers = sorted(ALLOWED.values())
    lines = [
        _instruction(_LOAD_WORD, _OFFSET_ARCH),
        _instruction(_JUMP_IF_EQUAL, _AUDIT_ARCH_X86_64, if_true=1),
        _instruction(_RETURN, _RET_KILL_PROCESS),
        _instruction(_LOAD_WORD, _OFFSET_NUMBER),
    ]
    for index, number in enumerate(numbers):
        lines.append(_instruction(_JUMP_IF_EQUAL, number, if_true=len(numbers) - index))
    lines += [_instruction(_RETURN, _RET_EPERM), _instruction(_RETURN, _RET_ALLOW)]
    return b"".join(lines)


def install(compiled: bytes) -> None:
    """Put this thread under `compiled` for good. Needs no_new_privs; raises OSError where the kernel refuses."""
    buffer = ctypes.create_string_buffer(compiled, len(compiled))
    filter_program = _Program(len(compiled) // 8, ctypes.addressof(buffer))
    pointer = ctypes.c_void_p(ctypes.addressof(filter_program))
    kernel.prctl(kernel.PR_SET_SECCOMP, _MODE_FILTER, pointer)
