"""The hostile corpus, against all guards and against each layer alone; damage is looked for from outside."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hostile_functions import HOSTILE
from outside_view import Outside

from evolve.sandbox import DEFAULT_IMPORTS, CheckError, Limits, Sandbox, Verdict

Layer = Literal["seccomp", "namespaces"]

TEST_LIMITS = Limits(wall_seconds=2, cpu_seconds=0.4, memory_bytes=256 * 2**20, kills=1)
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
}


@pytest.fixture(scope="module", params=[(), ("namespaces",), ("seccomp",)], ids=["all", "seccomp", "namespaces"])
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    disable: tuple[Layer, ...] = request.param
    os.environ["EVOLVE_TEST_SECRET"] = "visible"
    try:
        with Sandbox(TEST_LIMITS, imports=WIDE_IMPORTS, required=(), disable=disable) as one:
            if len(one.guards()) < 5:
                pytest.skip(f"this machine offers only {one.guards()} without {disable}")
            yield one
    finally:
        del os.environ["EVOLVE_TEST_SECRET"]


@pytest.fixture
def outside(tmp_path: Path, box: Sandbox) -> Iterator[Outside]:
    # A replaced server would show as other processes: a function must not get that far either.
    assert box.check(HONEST, ["four"]) == [Verdict(True)]
    one = Outside(tmp_path)
    yield one
    one.close()


@pytest.fixture(scope="module")
def many_descriptors() -> Iterator[None]:
    """A host's descriptors reach past every small number, as those of an actor with an HTTP engine do."""
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.socket())
        yield


@pytest.mark.parametrize("name", ["forge_on_other_descriptors", "forge_with_a_guessed_secret"])
def test_no_function_turns_a_later_verdict(name: str, many_descriptors: None) -> None:
    with Sandbox(TEST_LIMITS, imports=WIDE_IMPORTS) as box:
        assert Verdict(True) not in box.check(HOSTILE[name], ["x"])
        later = [box.check("def evaluate(response): return False", ["x"]) for _ in range(50)]
    assert later == [[Verdict(False)]] * 50


@pytest.mark.parametrize("name", HOSTILE)
def test_contained(name: str, box: Sandbox, outside: Outside) -> None:
    target = f"{outside.port} {outside.folder / 'left_behind'} {os.getpid()}"
    results = box.check(HOSTILE[name], [target, target])
    assert len(results) == 2
    assert Verdict(True) not in results
    if name in EXPECTED:
        assert isinstance(results[0], CheckError)
        assert results[0].kind in EXPECTED[name]
    assert box.check(HONEST, ["abc", "four"]) == [Verdict(False), Verdict(True)]
    assert outside.damage() == []


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(HOSTILE) >= 40


def test_the_outside_view_sees_damage(tmp_path: Path) -> None:
    """Without this, an observer that sees nothing would pass every test above."""
    one = Outside(tmp_path)
    try:
        (tmp_path / "left_behind").touch()
        socket.create_connection(("127.0.0.1", one.port)).close()
        with Sandbox(TEST_LIMITS):
            kinds = {found.split(":")[0] for found in one.damage()}
        assert kinds == {"network", "file", "processes"}
    finally:
        one.close()


@pytest.mark.parametrize("name", ["read_passwd", "list_root", "walk_up", "proc", "connect", "datagram"])
def test_attacks_work_where_no_guard_stands(name: str, tmp_path: Path) -> None:
    """Without this, functions too clumsy to do harm would pass for contained ones."""
    one = Outside(tmp_path)
    try:
        with Sandbox(TEST_LIMITS, imports=WIDE_IMPORTS, required=(), disable=("seccomp", "namespaces")) as box:
            assert box.check(HOSTILE[name], [f"{one.port} {tmp_path / 'x'} {os.getpid()}"]) == [Verdict(True)]
    finally:
        one.close()
