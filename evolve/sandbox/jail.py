"""What a sandbox server does to itself before it forks any worker: privileges, namespaces, an empty root."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from evolve.sandbox import kernel
from evolve.sandbox.records import Mechanism

_NOBODY = 65534
"""The user and group without rights on Linux (Linux Standard Base, "nobody")."""

_MOUNT_POINT = "/proc"
"""Any folder that every Linux has does; what it holds is not needed once the namespaces stand."""

_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)


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
            # A container may map no such user; the other guards decide whether that is enough.
            return active
        # Changing the user hands /proc/self to root, and the namespaces' identity maps are written there.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    active.add("unprivileged_user")
    return active


def enter_namespaces() -> set[Mechanism]:
    """Leave the host's namespaces; children will be in a PID namespace of their own. Empty where refused."""
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(_NAMESPACES)
    except OSError:
        return set()
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_NOBODY} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{_NOBODY} {group} 1")
    active: set[Mechanism] = {"network_namespace", "pid_namespace", "ipc_namespace"}
    try:
        # A worker without seccomp could make a namespace of its own and hold every capability in it.
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        socket.sethostname("sandbox")
        active.add("uts_namespace")
        _empty_root()
        active.add("empty_root")
    except OSError:
        # Security modules may grant the namespace without its capabilities; what is active is reported.
        pass
    return active


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
        os.closerange(0, 64)
        _, status = os.waitpid(child, 0)
        os._exit(min(status, 1))
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
