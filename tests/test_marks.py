"""What marks tests, what keeps unmarked ones from starting Ray, and what a run of the tests ends with."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

ROOT = Path(__file__).parents[1]
CONFTEST = """
import pytest
from tests.conftest import pytest_configure

@pytest.fixture
def local_ray(): ...

@pytest.fixture
def finished(local_ray): ...
"""
TESTS = """
import pytest

def test_alone(): ...
def test_near(local_ray): ...
def test_far(finished): ...

@pytest.mark.chaos_long
def test_long(finished): ...

@pytest.mark.parametrize("number", [1, 2])
def test_skipped(number): pytest.skip("no moon")

def test_skipped_too(): pytest.skip("no sun")
"""
SETTINGS = """
[pytest]
addopts = --strict-markers
markers =
    chaos_long: takes an hour, run by `make chaos`
    engine: has a model, run by `make test`
    ray: starts Ray, run by `make test`
    slow: takes long, run by `make test`
"""


def pytest_of(folder: Path, *arguments: str) -> list[str]:
    """The lines that TESTS print under our plugins."""
    for name, text in {"conftest.py": CONFTEST, "test_few.py": TESTS, "pytest.ini": SETTINGS}.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_run_ends_with_what_it_left_out_and_why(tmp_path: Path) -> None:
    lines = pytest_of(tmp_path, "-m", "not (ray or engine or chaos_long)")
    assert "2  no moon" in lines
    assert "1  no sun" in lines
    # by a fixture that the test names, and by one of a fixture's; each test once, under its dearest mark
    assert "2  ray: starts Ray, run by `make test`" in lines
    assert "1  chaos_long: takes an hour, run by `make chaos`" in lines
    assert lines[-1].startswith("1 passed, 3 skipped, 3 deselected")


@pytest.mark.slow
def test_only_marks_that_were_asked_for_explain_what_is_left_out(tmp_path: Path) -> None:
    lines = pytest_of(tmp_path, "-m", "not chaos_long", "-k", "far or long")
    assert lines[-1].startswith("1 passed")
    assert not any(line.endswith("`make test`") for line in lines)


@pytest.mark.slow
def test_processes_side_by_side_leave_out_the_same_and_run_each_file_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "test_more.py").write_text(TESTS)
    lines = pytest_of(tmp_path, "-vv", "-n", "2", "-m", "not (ray or engine or chaos_long)")
    assert "4  ray: starts Ray, run by `make test`" in lines
    assert "2  chaos_long: takes an hour, run by `make chaos`" in lines
    by_file = {
        name: {line[:5] for line in lines if line.startswith("[gw") and f"{name}::" in line}
        for name in ("test_few.py", "test_more.py")
    }
    assert [len(processes) for processes in by_file.values()] == [1, 1], lines


@pytest.fixture
def temporary() -> Iterator[str]:
    """A folder whose name is short, as Ray's sockets want it."""
    with tempfile.TemporaryDirectory(prefix="rm-", dir="/tmp") as folder:
        yield folder


def test_an_unmarked_test_cannot_start_ray(temporary: str) -> None:
    with pytest.raises(RuntimeError, match="without the mark `ray`"):
        ray.init(address="local", include_dashboard=False, _temp_dir=temporary)
    assert not ray.is_initialized()


def test_nor_can_what_it_starts(temporary: str) -> None:
    program = f"import ray; ray.init(address='local', include_dashboard=False, _temp_dir={temporary!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "without the mark `ray`" in done.stderr
