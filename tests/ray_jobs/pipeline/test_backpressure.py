"""A pool that is faster than the next one waits for it, so that little is lost with the driver."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run
from tests.ray_jobs.samples import run_config, write_seeds

SEEDS, BLOCK_ROWS, BLOCKS = 60, 2, 2


class Ahead:
    """Notes by how many rows the log of one engine's calls is ahead of another's."""

    def __init__(self, before: Path, behind: Path) -> None:
        self._before, self._behind = before, behind
        self.rows = list[int]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Ahead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            if self._behind.exists():
                self.rows.append(_lines(self._before) - _lines(self._behind))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


@pytest.mark.usefixtures("local_ray")
def test_evolvers_do_not_run_ahead_of_the_responder(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", [f"Count to {number}." for number in range(SEEDS)])
    pool = {"size": 1, "batch_rows": BLOCK_ROWS, "batches_in_flight": BLOCKS}
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    # the responder is there when the evolvers come, which are four times as fast
    fast = {"kind": "scripted", "slots": 4, "decode_rate": 200, "load_seconds": 5, "call_log": str(asked)}
    slow = {"kind": "scripted", "slots": 2, "decode_rate": 200, "call_log": str(answered)}
    config = run_config(
        tmp_path,
        strategy={"rounds": 1},
        evolvers={name: {"engine": {**fast, "model": name}, "pool": pool} for name in ("a", "b")},
        responder={"engine": slow, "pool": pool},
    )
    with Ahead(asked, answered) as ahead:
        assert run(SynthesisJob(config), say=lambda _: None)["rows"]["done"] == 2 * SEEDS
    in_hand = 2 * BLOCKS * BLOCK_ROWS
    # the responder has its fill, as much waits before it, and both evolvers may end what they have in hand and pass on
    # what they had; without being held back they were 74 rows ahead
    assert BLOCK_ROWS < max(ahead.rows) <= 6 * in_hand
