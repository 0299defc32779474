"""What the sandbox gives to honest and merely broken functions, and how it starts, serves and ends."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from outside_view import ROOT, UNPRIVILEGED, sandbox_processes, started

from evolve.errors import SandboxError
from evolve.sandbox import PROTECTIONS, CheckError, Limits, Sandbox, Verdict

LONGER_THAN_3 = "def evaluate(response): return len(response) > 3"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(Limits(wall_seconds=3, cpu_seconds=0.5, memory_bytes=256 * 2**20)) as sandbox:
        yield sandbox


def kind_of(box: Sandbox, source: str, text: str = "x") -> str:
    (result,) = box.check(source, [text])
    return result.kind if isinstance(result, CheckError) else str(result.holds)


def test_one_result_an_input_in_order(box: Sandbox) -> None:
    results = box.check(LONGER_THAN_3, ["abc", "abcd", "", "abcdef"])
    assert results == [Verdict(False), Verdict(True), Verdict(False), Verdict(True)]
    assert box.check(LONGER_THAN_3, []) == []


def test_helpers_constants_and_imports_beside_evaluate_work(box: Sandbox) -> None:
    source = """
from __future__ import annotations
import re
from collections import Counter
from xml.etree import ElementTree
WORD = re.compile(r"\\w+")
def evaluate(response):
    return any(most_common(word) for word in WORD.findall(response))
def most_common(word):
    return Counter(word).most_common(1)[0][1] >= 2
"""
    assert box.check(source, ["bookkeeper", "abc"]) == [Verdict(True), Verdict(False)]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def evaluate(response) return", "syntax"),
        ("def evaluate(response): return missing(response)", "exception"),
        ("def check(response): return True", "no_evaluate"),
        ("evaluate = 3", "no_evaluate"),
        ("import requests\ndef evaluate(response): return True", "import"),
        ("def evaluate(response):\n    import os\n    return True", "import"),
        ("def evaluate(response): return None", "not_boolean"),
        ("def evaluate(response): return 'true'", "not_boolean"),
        ("def evaluate(): return True", "exception"),
        ("def evaluate(response): return [0] * 10 ** 10", "memory"),
        ("async def evaluate(response): return True", "not_boolean"),
    ],
)
def test_each_way_to_fail_has_its_kind(box: Sandbox, source: str, kind: str) -> None:
    assert kind_of(box, source) == kind


def test_details_name_the_error(box: Sandbox) -> None:
    (result,) = box.check("def evaluate(response): return missing(response)", ["x"])
    assert result == CheckError("exception", "NameError: name 'missing' is not defined")


@pytest.mark.parametrize("text", ["\ud800 lone", "nul \0 byte", "é" * 10**6, "😀\u2028\r\n", ""])
def test_any_text_arrives_as_it_is(box: Sandbox, text: str) -> None:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    source = f"""
import hashlib
def evaluate(response):
    return hashlib.sha256(response.encode("utf-8", "surrogatepass")).hexdigest() == {digest!r}
"""
    assert kind_of(box, source, text) == "True"


@pytest.mark.slow
def test_a_call_that_fails_leaves_the_others_right(box: Sandbox) -> None:
    source = """
import random
def evaluate(response):
    if response == "loop":
        while True: pass
    if response == "exit": random._os._exit(0)
    if response == "memory": return [0] * 10 ** 10
    if response == "raise": raise ValueError(response)
    return response == "yes"
"""
    results = box.check(source, ["yes", "loop", "yes", "exit", "raise", "no", "memory", "yes"])
    kinds = [result.kind if isinstance(result, CheckError) else result.holds for result in results]
    assert kinds == [True, "timeout", True, "killed", "exception", False, "memory", "abandoned"]


@pytest.mark.slow
def test_a_function_is_abandoned_after_its_kills(box: Sandbox) -> None:
    results = box.check("def evaluate(response):\n    while True: pass", ["x"] * 5)
    assert [result.kind for result in results if isinstance(result, CheckError)] == ["timeout"] * 3 + ["abandoned"] * 2


@pytest.mark.slow
def test_sleeping_uses_wall_time_only(box: Sandbox) -> None:
    assert kind_of(box, "import time\ndef evaluate(response):\n    time.sleep(1)\n    return True") == "True"
    started = time.monotonic()
    assert kind_of(box, "import time\ndef evaluate(response): time.sleep(60)") == "timeout"
    assert 2.9 < time.monotonic() - started < 20


@pytest.mark.slow
def test_the_processor_limit_holds_for_one_call_not_for_all() -> None:
    source = """
import time
def evaluate(response):
    end = time.process_time() + 0.2
    while time.process_time() < end: pass
    return True
"""
    # by the clock it may take as long as it likes, on a machine that others use too
    with Sandbox(Limits(wall_seconds=60, cpu_seconds=0.5, memory_bytes=256 * 2**20)) as patient:
        assert patient.check(source, ["x"] * 5) == [Verdict(True)] * 5


def test_calls_do_not_share_globals(box: Sandbox) -> None:
    source = "seen = []\ndef evaluate(response):\n    seen.append(response)\n    return len(seen) == 1"
    assert box.check(source, ["a", "b"]) == [Verdict(True), Verdict(True)]


def test_verdicts_repeat_across_servers() -> None:
    source = """
import random
def evaluate(response):
    return list({"one", "two", "three", "four"})[0] + str(random.random()) < response
"""
    texts = [f"{word}0.{digit}" for word in ("one", "two", "three", "four") for digit in range(10)]
    seen = set()
    for _ in range(3):
        with Sandbox() as sandbox:
            seen.add(tuple(sandbox.check(source, texts)))
    assert len(seen) == 1


def test_many_threads_share_one_sandbox() -> None:
    def ask(number: int) -> bool:
        results = shared.check(f"def evaluate(response): return response == '{number}'", ["x", str(number), "y"])
        return results == [Verdict(False), Verdict(True), Verdict(False)]

    with Sandbox(servers=2) as shared, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(60)))


def test_from_asyncio(box: Sandbox) -> None:
    async def ask() -> list[object]:
        return list(await asyncio.gather(*(asyncio.to_thread(box.check, LONGER_THAN_3, ["abcd"]) for _ in range(5))))

    assert asyncio.run(ask()) == [[Verdict(True)]] * 5


def test_guards_say_what_is_active(box: Sandbox) -> None:
    assert set(box.guards()) == PROTECTIONS
    assert all(box.guards().values())


def test_missing_guards_are_refused_unless_allowed() -> None:
    before = sandbox_processes()
    with pytest.raises(SandboxError, match="no guard for: files, network"):
        Sandbox(disable=["seccomp", "namespaces"])
    assert sandbox_processes() == before
    with Sandbox(disable=["seccomp", "namespaces"], required=[]) as sandbox:
        assert "files" not in sandbox.guards()
        assert "network" not in sandbox.guards()
        assert sandbox.check(LONGER_THAN_3, ["abcd"]) == [Verdict(True)]


@pytest.mark.parametrize("limits", [{"wall_seconds": 0}, {"memory_bytes": -1}, {"kills": 0}])
def test_senseless_limits_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SandboxError, match=next(iter(limits))):
        Limits(**limits)


def test_an_import_that_is_not_installed_is_told() -> None:
    with pytest.raises(SandboxError, match="no_such_module"):
        Sandbox(imports=["no_such_module"])


def test_closing_ends_every_process_and_refuses_checks() -> None:
    before = sandbox_processes()
    sandbox = Sandbox(servers=2)
    assert len(sandbox_processes() - before) == 2
    sandbox.close()
    sandbox.close()
    assert sandbox_processes() == before
    with pytest.raises(SandboxError, match="closed"):
        sandbox.check(LONGER_THAN_3, ["x"])


def test_a_server_that_dies_is_replaced() -> None:
    before = sandbox_processes()
    with Sandbox() as sandbox:
        for pid in sandbox_processes() - before:
            os.kill(pid, 9)
        assert sandbox.check(LONGER_THAN_3, ["abcd"]) == [Verdict(True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "processes"),
    [
        ("box.check('while True: pass', ['x'])", 3),
        ("import time; time.sleep(60)", 2),
        ("import os; os.fork(); input()", 2),
    ],
    ids=["checking", "idle", "forked"],
)
def test_nothing_outlives_a_host_that_is_killed(then: str, processes: int) -> None:
    before = sandbox_processes()
    code = f"from evolve.sandbox import *; box = Sandbox(Limits(60, 60)); print('ready', flush=True); {then}"
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdin=pipe, stdout=pipe) as host:
        assert host.stdout is not None
        host.stdout.readline()
        assert _within(20, lambda: len(sandbox_processes() - before) == processes)
        host.kill()
        host.wait()
        # A process that the host forked lives on here, and holds the socket's other end.
        assert _within(5, lambda: sandbox_processes() == before)


def test_an_interrupted_check_leaves_no_old_answer_behind(box: Sandbox) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    former = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        with pytest.raises(Interrupted):
            box.check("import time\ndef evaluate(response):\n    time.sleep(0.6)\n    return True", ["x"])
        assert box.check(LONGER_THAN_3, ["abc"]) == [Verdict(False)]
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, former)


def test_an_unprivileged_user_has_the_same_guards(box: Sandbox) -> None:
    if os.geteuid() != 0:
        pytest.skip("this test session is unprivileged itself, so every other test shows it")
    code = "from evolve.sandbox import *; box = Sandbox(); print(sorted(box.guards().items())); box.close()"
    done = started(UNPRIVILEGED, "-c", code)
    if done is None:
        pytest.skip("no Python here that another user may run")
    assert done.stdout.strip() == str(sorted(box.guards().items())), done.stderr


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
