"""The channel between a sandbox's host and its server: what is not the server's own answer counts for nothing."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from outside_view import sandbox_processes

from evolve.sandbox import Sandbox, Verdict, channel

_PIDFD_GETFD = 438
_CHANNEL_OF_SERVER = 3
FALSE = "def evaluate(response): return False"
FORGED = [b"\0\0\0\6[true]", b"\0" * 32 + b"\0\0\0\6[true]", b"\xff" * 36, b"[true]\n", b"\0"]


def test_a_request_and_its_answer_arrive_as_they_are() -> None:
    host, server = socket.socketpair()
    with host, server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(channel.ask, host, {"question": "é"})
        secret = channel.page_for_secret()
        assert channel.receive(server, secret) == {"question": "é"}
        channel.send(server, ["\ud800"] * 100_000, secret)
        assert answer.result() == ["\ud800"] * 100_000


def test_every_request_has_a_secret_of_its_own() -> None:
    host, server = socket.socketpair()
    with host, server:
        host.settimeout(0.01)
        seen = set()
        for _ in range(20):
            with pytest.raises(TimeoutError):
                channel.ask(host, "question")
            secret = channel.room_for_secret()
            channel.receive(server, secret)
            seen.add(bytes(secret))
        assert len(seen) == 20


@pytest.mark.parametrize("forged", FORGED)
def test_what_does_not_repeat_the_secret_is_no_answer(forged: bytes) -> None:
    host, server = socket.socketpair()
    with host, server:
        server.sendall(forged * 50)
        with pytest.raises(channel.ForgedReply):
            channel.ask(host, "question")


def test_an_answer_to_an_earlier_request_is_no_answer() -> None:
    host, server = socket.socketpair()
    with host, server:
        host.settimeout(0.01)
        with pytest.raises(TimeoutError):
            channel.ask(host, "first")
        secret = channel.room_for_secret()
        channel.receive(server, secret)
        channel.send(server, "late", secret)
        with pytest.raises(channel.ForgedReply):
            channel.ask(host, "second")


def test_a_forked_process_does_not_have_the_secret() -> None:
    secret = channel.page_for_secret()
    secret[:] = b"\1" * len(secret)
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        bytes(secret)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGSEGV
    assert bytes(secret) == b"\1" * 32


@pytest.mark.slow
@pytest.mark.parametrize("forged", FORGED)
def test_who_holds_the_servers_own_descriptor_turns_no_verdict(forged: bytes) -> None:
    """As if one had been left open after all."""
    before = sandbox_processes()
    with Sandbox() as box:
        for stolen in _channels(sandbox_processes() - before):
            os.write(stolen, forged * 50)
            os.close(stolen)
        assert [box.check(FALSE, ["x"]) for _ in range(60)] == [[Verdict(False)]] * 60


def _channels(servers: set[int]) -> list[int]:
    """The descriptors through which these processes talk to their host (pidfd_getfd(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for pid in servers:
        process = os.pidfd_open(pid)
        number = libc.syscall(_PIDFD_GETFD, process, _CHANNEL_OF_SERVER, 0)
        os.close(process)
        if number >= 0:
            found.append(number)
    if not found:
        pytest.skip("only a user who may trace the server's processes can take their descriptors")
    return found
