"""Tries the guards from inside at start, so that what is reported as active has been seen to hold."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Mapping

from evolve.sandbox import kernel, worker
from evolve.sandbox.records import Limits, Protection

_EXIT_NOT_LOCKED = 255
_NO_NETWORK = (errno.EPERM, errno.EACCES, errno.EMFILE, errno.ENETUNREACH)
"""How a connection fails that never left: refused by a filter or a limit, or for want of any interface."""
_DESCRIPTORS = 4096
"""How many numbers are tried: all are closed at start, and what an attack tries has to end."""


def leaks(limits: Limits, filter_program: bytes | None, fork: Callable[[], int]) -> frozenset[Protection] | None:
    """The protections that a locked-in worker can break. None where a worker cannot lock itself in at all."""
    reader, writer = os.pipe()
    try:
        pid = fork()
    except OSError:
        pid = -1
    if pid == 0:
        code = _EXIT_NOT_LOCKED
        try:
            worker.lock_in(limits, 1, writer, filter_program)
            code = sum(1 << index for index, breaks in enumerate(_ATTEMPTS.values()) if breaks())
        except OSError:
            pass
        finally:
            os._exit(code)
    os.close(reader)
    os.close(writer)
    if pid < 0:
        return None
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not 0 <= code < _EXIT_NOT_LOCKED:
        return None
    return frozenset(name for index, name in enumerate(_ATTEMPTS) if code >> index & 1)


def _reaches_network() -> bool:
    """Whether a connection to this machine gets as far as an answer, be it a refusal."""
    try:
        with socket.socket() as sock:
            sock.settimeout(1)
            sock.connect(("127.0.0.1", 9))
    except OSError as error:
        return error.errno not in _NO_NETWORK
    return True


def _sees_files() -> bool:
    try:
        return bool(os.listdir("/"))  # noqa: PTH208 - a list of names is all that is asked for
    except OSError:
        return False


def _starts_processes() -> bool:
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    return True


def _takes_more() -> bool:
    """Whether memory can be had that no limit counts and that stays when the worker has gone."""
    return kernel.takes_system_v_objects()


def _gains_rights() -> bool:
    """Whether it can hold every capability in a user namespace of its own."""
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError:
        return False
    return True


def _reaches_server() -> bool:
    """Whether the server can be named by its number, or one of its descriptors has come along."""
    if any(_is_open(descriptor) for descriptor in range(worker.VERDICT_PIPE + 1, _DESCRIPTORS)):
        return True
    server = os.getppid()
    if server <= 0:
        return False
    try:
        resource.prlimit(server, resource.RLIMIT_NOFILE)
    except OSError:
        return False
    return True


def _is_open(descriptor: int) -> bool:
    try:
        os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


_ATTEMPTS: Mapping[Protection, Callable[[], bool]] = {
    "network": _reaches_network,
    "files": _sees_files,
    "processes": _starts_processes,
    "resources": _takes_more,
    "verdicts": _reaches_server,
    # The last: it may change what this process can do.
    "privileges": _gains_rights,
}
