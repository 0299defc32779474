"""What a shell offers when Tab is pressed: commands, those of installed packages too, and options."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CALL = "import sys; sys.argv = ['evolve']; from ray_jobs.cli import main; main()"


def asked(instruction: str, **variables: str) -> str:
    """What the command says to a shell."""
    environment = os.environ | {"_EVOLVE_COMPLETE": instruction} | variables
    done = subprocess.run([sys.executable, "-c", CALL], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_commands_and_options_are_offered() -> None:
    assert asked("complete_bash", COMP_WORDS="evolve st", COMP_CWORD="1").split() == ["status", "stop"]
    assert "--json" in asked("complete_bash", COMP_WORDS="evolve show --", COMP_CWORD="2").split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    assert f"complete_{shell}" in asked(f"source_{shell}")
