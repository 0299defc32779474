"""The hostile corpus, against all guards and each layer alone, whoever starts the host; damage is seen from outside."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostile_functions import HOSTILE
from hostile_host import DESCRIPTORS, LIMITS, WIDE_IMPORTS
from outside_view import NO_RIGHTS, NO_USER_NAMESPACES, READ_ONLY_SETTINGS, ROOT, UNPRIVILEGED, Outside, started

from evolve.sandbox import PROTECTIONS, Sandbox, Verdict

pytestmark = pytest.mark.slow

BY_SECCOMP = {"files", "network", "processes", "verdicts"}


def attacked(prefix: list[str], *disabled: str) -> dict[str, Any]:
    """The report of a host that `prefix` started."""
    done = started(prefix, str(ROOT / "tests/evolve/sandbox/hostile_host.py"), *disabled)
    if done is None:
        pytest.skip(f"no Python here that can be started by {' '.join(prefix)}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("disabled", [(), ("namespaces",), ("seccomp",)], ids=["all", "seccomp", "namespaces"])
@pytest.mark.parametrize("prefix", [[], UNPRIVILEGED], ids=["as_we_are", "unprivileged"])
def test_the_corpus_is_contained(prefix: list[str], disabled: tuple[str, ...]) -> None:
    report = attacked(prefix, *disabled)
    assert set(report["guards"]) == PROTECTIONS
    assert report["wrong"] == report["damage"] == []


@pytest.mark.parametrize(
    "prefix",
    [NO_RIGHTS, NO_USER_NAMESPACES + NO_RIGHTS, UNPRIVILEGED + NO_USER_NAMESPACES + NO_RIGHTS],
    ids=["without_capabilities", "in_a_hardened_pod", "in_a_rootless_pod"],
)
def test_root_without_capabilities_is_guarded_by_seccomp_alone(prefix: list[str]) -> None:
    report = attacked(prefix)
    assert set(report["guards"]) == PROTECTIONS
    assert {name for name, by in report["guards"].items() if by == ["seccomp"]} == BY_SECCOMP
    assert report["wrong"] == report["damage"] == []


def test_a_kernel_without_close_range_closes_every_descriptor_too() -> None:
    report = attacked([], "close_range", "seccomp")
    assert set(report["guards"]) == PROTECTIONS
    assert report["wrong"] == report["damage"] == []


def test_a_pod_without_either_is_refused_with_what_is_missing() -> None:
    refused = attacked(NO_USER_NAMESPACES + NO_RIGHTS, "seccomp")["refused"]
    assert all(word in refused for word in ("files", "network", "processes", "resources", "verdicts", "required"))


def test_a_later_server_with_fewer_guards_is_refused_too() -> None:
    """A filter that comes between the two takes the namespaces from the second."""
    code = """
from hostile_host import HONEST, UNSHARE, refuse
from evolve.errors import SandboxError
from evolve.sandbox import Sandbox
with Sandbox(disable=["seccomp"], servers=2) as box:
    refuse(UNSHARE)
    print(box.check(HONEST, ["four"]))
    try: print(box.check(HONEST, ["four"]))
    except SandboxError as error: print(error)
"""
    done = started([], "-c", f"import sys; sys.path.append({str(ROOT / 'tests/evolve/sandbox')!r})\n{code}")
    assert done is not None
    first, second = done.stdout.splitlines()
    assert first == str([Verdict(True)]), done.stderr
    assert "no guard for" in second


def test_what_depends_on_the_kernels_settings_is_refused_where_they_cannot_be_changed() -> None:
    refused = attacked(READ_ONLY_SETTINGS, "seccomp")["refused"]
    assert "no guard for: privileges, resources;" in refused
    assert "verdicts" in refused.split("active are")[1]


@pytest.mark.parametrize("name", ["forge_on_other_descriptors", "forge_with_a_guessed_secret"])
def test_no_function_turns_a_later_verdict(name: str) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(DESCRIPTORS):
            stack.enter_context(socket.socket())
        box = stack.enter_context(Sandbox(LIMITS, imports=WIDE_IMPORTS))
        assert Verdict(True) not in box.check(HOSTILE[name], ["x"])
        later = [box.check("def evaluate(response): return False", ["x"]) for _ in range(50)]
    assert later == [[Verdict(False)]] * 50


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(HOSTILE) >= 40


def test_the_outside_view_sees_damage(tmp_path: Path) -> None:
    """Without this, an observer that sees nothing would pass every test above."""
    outside = Outside(tmp_path)
    try:
        (tmp_path / "left_behind").touch()
        socket.create_connection(("127.0.0.1", outside.port)).close()
        with Sandbox(LIMITS):
            kinds = {found.split(":")[0] for found in outside.damage()}
        assert kinds == {"network", "file", "processes"}
    finally:
        outside.close()


@pytest.mark.parametrize(
    "name",
    """read_passwd list_root walk_up proc look_without_opening connect datagram other_sockets user_namespace
    shared_memory private_shared_memory semaphores message_queue limit_server slow_server""".split(),
)
def test_attacks_work_where_no_guard_stands(name: str, tmp_path: Path) -> None:
    """Without this, functions too clumsy to do harm would pass for contained ones."""
    outside = Outside(tmp_path)
    code = f"{HOSTILE[name]}\nprint(evaluate({f'{outside.port} {tmp_path / name} {os.getpid()}'!r}))"
    # Process 1 and parent of the function is a shell, for those that attack their server.
    apart = ["unshare", "--user", "--map-root-user", "--ipc", "--pid", "--fork", "--mount-proc"]
    command = [*apart, "sh", "-c", '"$@"; true', "sh", sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "True\n", done.stderr
    finally:
        outside.close()
