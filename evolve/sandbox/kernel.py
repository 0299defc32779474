"""The Linux calls that Python 3.11 does not wrap, through ctypes. Each raises OSError where the kernel refuses."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MNT_DETACH = 2

_CLOSE_RANGE = 436
"""The same number in every architecture's table (include/uapi/asm-generic/unistd.h)."""

_CAPABILITY_VERSION_3 = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def prctl(option: int, value: int, pointer: ctypes.c_void_p | None = None) -> None:
    """prctl(2)."""
    long = ctypes.c_ulong
    _checked(_libc.prctl(option, long(value), pointer or long(0), long(0), long(0)), "prctl")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(flags), "unshare")


def return_to_pid_namespace(process: int) -> None:
    """Let children be born in the PID namespace of `process`, a pidfd (setns(2), Linux 5.8)."""
    _checked(_libc.setns(process, CLONE_NEWPID), "setns")


def close_from(first: int) -> None:
    """Close every descriptor from `first` on, however large its number (close_range(2), Linux 5.9)."""
    unsigned = ctypes.c_uint
    if _libc.syscall(ctypes.c_long(_CLOSE_RANGE), unsigned(first), unsigned(0xFFFF_FFFF), unsigned(0)) == 0:
        return
    try:
        numbers = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    except OSError:
        # The server has closed all above its limit when it started; a worker, which sees no /proc, has no others.
        numbers = list(range(first, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for number in numbers:
        if number >= first:
            with contextlib.suppress(OSError):
                os.close(number)


def takes_system_v_objects() -> bool:
    """Whether shared memory, semaphores or a queue of System V can be made here; what was made is removed again."""
    made = False
    private, mode, remove = 0, 0o600, 0
    if (number := _libc.shmget(private, ctypes.c_size_t(4096), mode)) >= 0:
        made = True
        _libc.shmctl(number, remove, None)
    if (number := _libc.semget(private, 1, mode)) >= 0:
        made = True
        _libc.semctl(number, 0, remove)
    if (number := _libc.msgget(private, mode)) >= 0:
        made = True
        _libc.msgctl(number, remove, None)
    return made


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """mount(2) of a file system that has no source device."""
    arguments = (kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _checked(_libc.mount(*arguments), "mount")


def replace_root(folder: str) -> None:
    """Make `folder`, a mount point, the root, and let go of the old one (pivot_root(2), umount2(2))."""
    os.chdir(folder)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up all capabilities of this thread (capset(2)); a user without any has nothing to lose."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(header, nothing), "capset")
