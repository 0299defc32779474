"""What a sandbox server does to itself before it forks any worker: privileges, namespaces, an empty root."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from evolve.sandbox import kernel
from evolve.sandbox.records import Mechanism

_NOBODY = 65534
"""The user and group without rights on Linux (Linux Standard Base, "nobody")."""

_MOUNT_POINT = "/proc"
"""Any folder that every Linux has does; what it holds is not needed once the namespaces stand."""

_NAMESPACES = (
    kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS
)

_NO_SYSTEM_V = {"shmmni": "0", "msgmni": "0", "sem": "0 0 0 0"}
"""Limits of an IPC namespace under /proc/sys/kernel: how many objects there may be (Linux 6.9 lets us set them)."""


def shed_privileges() -> set[Mechanism]:
    """Bar this process from gaining rights and, where it is root, become nobody."""
    active: set[Mechanism] = set()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    active.add("no_new_privs")
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError:
            # Root without capabilities, or a container that maps no such user: the other guards must be enough.
            return active
        # Changing the user hands /proc/self to root, and the namespaces' identity maps are written there.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    active.add("unprivileged_user")
    return active


def enter_namespaces() -> set[Mechanism]:
    """Leave the host's namespaces; children will be in a PID namespace of their own. Empty where refused.

    A child tries first: a namespace whose identity map is refused, as to root without capabilities, cannot be left.
    """
    for leave in (_leave_system_v_behind, _leave):
        if _succeeds_in_child(leave):
            leave()
            break
    else:
        return set()
    active: set[Mechanism] = {"network_namespace", "pid_namespace", "ipc_namespace"}
    # Security modules may grant the namespace without its capabilities, and containers may have a read-only
    # /proc/sys: what of this holds is found out by trying it from a worker.
    with contextlib.suppress(OSError):
        # A worker without seccomp could make a namespace of its own and hold every capability in it.
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    with contextlib.suppress(OSError):
        socket.sethostname("sandbox")
        active.add("uts_namespace")
    with contextlib.suppress(OSError):
        _empty_root()
        active.add("empty_root")
    return active


def _leave_system_v_behind() -> None:
    """Like `_leave`, into an IPC namespace without System V's shared memory, which no limit of a process counts.

    Only the root of the user namespace that it belongs to may set its limits, so it gets one of its own.
    """
    _unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWIPC, inside=0)
    for name, maximum in _NO_SYSTEM_V.items():
        Path("/proc/sys/kernel", name).write_text(maximum)
    _unshare(_NAMESPACES, inside=_NOBODY)


def _leave() -> None:
    _unshare(_NAMESPACES | kernel.CLONE_NEWIPC, inside=_NOBODY)


def _unshare(namespaces: int, inside: int) -> None:
    """Enter new namespaces; the user and group that we are have the number `inside` there."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(namespaces)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")


def _succeeds_in_child(step: Callable[[], None]) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            step()
            status = 0
        except OSError:
            pass
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _empty_root() -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("none", "/", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", _MOUNT_POINT, flags, "size=4k,nr_inodes=1,mode=555")
    kernel.replace_root(_MOUNT_POINT)
    kernel.mount("tmpfs", "/", flags | kernel.MS_RDONLY | kernel.MS_REMOUNT)


def become_init() -> None:
    """Go on in a child, which is process 1 of the new PID namespace; the caller stays behind as its keeper.

    Returns in the child only. When process 1 ends, the kernel kills everything in its namespace.
    """
    child = os.fork()
    if child:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.close_from(0)
        _, status = os.waitpid(child, 0)
        os._exit(min(status, 1))
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def fork_apart() -> int:
    """Fork like os.fork, into a PID namespace of the child's own, from where it can name no other process."""
    server = os.getpid()
    kernel.unshare(kernel.CLONE_NEWPID)
    child = -1
    try:
        child = os.fork()
    finally:
        if child:
            home = os.pidfd_open(server)
            kernel.return_to_pid_namespace(home)
            os.close(home)
    return child
