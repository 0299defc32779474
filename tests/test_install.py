"""requirements/install.sh on a pip that fails as networks do; what `make demo` installs, and what only tests need."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = """#!/bin/sh
echo x >>"{folder}/calls"
[ $(wc -l <"{folder}/calls") -gt {failures} ] && {{ echo "Successfully installed one-1.0"; exit 0; }}
echo "Collecting one"
echo "ERROR: {why}"
exit 1
"""


def install(folder: Path, failures: int, why: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """What install.sh says with a pip that fails so many times for one reason, and how often it called pip."""
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(PIP.format(folder=folder, failures=failures, why=why))
    python.chmod(0o755)
    command = ["bash", str(ROOT / "requirements" / "install.sh"), str(folder), "one package", "one"]
    environment = os.environ | {"INSTALL_PAUSE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done, len((folder / "calls").read_text().split())


@pytest.mark.parametrize(
    "why",
    [
        "Exception: urllib3.exceptions.IncompleteRead(12 bytes read, 80 more expected)",
        "ReadTimeoutError: HTTPSConnectionPool(host='h', port=443): Read timed out.",
        "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
        "HTTP error 503 while getting http://h/: 503 Server Error",
        "incomplete-download",
    ],
)
def test_a_download_that_fails_is_tried_again_and_says_so(tmp_path: Path, why: str) -> None:
    done, calls = install(tmp_path, 2, why)
    assert (done.returncode, calls) == (0, 3)
    assert "done: 1 packages" in done.stdout
    assert done.stderr.count("a download failed (ERROR: ") == 2
    assert "try 2 of 4" in done.stderr


def test_a_download_that_never_comes_ends_with_pip_s_words(tmp_path: Path) -> None:
    done, calls = install(tmp_path, 99, "Connection reset by peer")
    assert (done.returncode, calls) == (1, 4)
    assert "Connection reset by peer" in done.stderr
    assert done.stderr.rstrip().endswith("pip.log")


def test_what_no_network_is_to_blame_for_is_not_tried_again(tmp_path: Path) -> None:
    done, calls = install(tmp_path, 99, "[Errno 28] No space left on device")
    assert (done.returncode, calls) == (1, 1)
    assert "No space left on device" in done.stderr


def needed_by(target: str) -> set[str]:
    """The targets that make would bring up to date for one, itself among them."""
    rules = re.findall(r"^([^\s:#=]+): ?([^=\n]*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    needs = {name: rest.partition("##")[0].split() for name, rest in rules if name != ".PHONY"}
    seen, todo = set[str](), [target]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += needs.get(name, [])
    return seen


def test_the_demo_leaves_linters_to_the_tests() -> None:
    assert "$(VENV)/.project" in needed_by("demo") & needed_by("serve") & needed_by("test")
    targets = ("demo", "serve", "models", "test", "quick")
    assert [target for target in targets if "$(VENV)/.dev" in needed_by(target)] == ["test", "quick"]


@pytest.mark.parametrize("machine", ["Darwin arm64", "Linux aarch64"])
def test_a_machine_that_the_lock_files_are_not_for_is_refused_at_once(tmp_path: Path, machine: str) -> None:
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\necho {machine}\n")
    uname.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["make", "demo", f"VENV={tmp_path}/venv"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"this is {machine}" in done.stderr
    assert not (tmp_path / "venv").exists()
