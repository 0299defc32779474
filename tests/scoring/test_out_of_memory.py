"""A pass that does not fit halves the budget and loses nothing. Memory really runs out, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import json, resource, sys
from pathlib import Path
from scoring import Pair, Scorer, ScorerConfig

folder, headroom, lengths = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
pairs = [Pair("Why?", "", "water " * length) for length in lengths]
scorer = Scorer(ScorerConfig(folder, token_budget=1_000_000, max_length=1_000_000, threads=1))
# all code is loaded before memory becomes scarce
scorer.score([pairs[0], pairs[-1]])
if headroom:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + headroom, used + headroom))
found = scorer.score(pairs)
print(json.dumps([[s.loss_q, s.loss_a_given_q, s.loss_a, s.note] for s in found]))
print(scorer.token_budget)
"""


def run(folder: Path, headroom_mib: int, lengths: list[int]) -> tuple[list[list[object]], int]:
    arguments = [str(folder), str(headroom_mib * 2**20), json.dumps(lengths)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    scores, budget = done.stdout.splitlines()
    return json.loads(scores), int(budget)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_the_budget_is_halved_until_everything_fits(tiny: Callable[..., Path]) -> None:
    lengths, folder = [5, 20, 40] * 300, tiny("llama")
    free, budget = run(folder, 0, lengths)
    tight, halved = run(folder, 24, lengths)
    assert budget == 1_000_000
    assert halved < 100_000
    for found, expected in zip(tight, free, strict=True):
        assert found[:3] == pytest.approx(expected[:3], rel=2e-6)
        assert found[3] is None


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_a_row_that_fits_nowhere_is_noted_and_the_others_go_on(tiny: Callable[..., Path]) -> None:
    (short, huge, last), _ = run(tiny("llama"), 64, [5, 60_000, 20])
    assert huge[1] is None
    assert "out of memory" in str(huge[3])
    assert None not in short[:3] + last[:3]
