"""How full the pipeline keeps its engines: the share of an engine's slots that are taken, over a run.

The engine is the scripted one, a model of continuous batching: lengths are log-normal, so a few completions take many
times as long as most. It writes down when each of its slots was taken and left. Left aside are the ramp-up, until all
slots are taken for the first time, and the tail, the last `slots` times `rounds` calls, in which too few rows are left.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pipeline_overhead import write_seeds
from processes import even_priority
from tables import markdown, publish

from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run

ROUNDS = 3
SECONDS_A_CALL = 0.6  # about: 40 tokens in the median and 49 in the mean at 100 a second, after a prompt's 0.1 s


@dataclass(frozen=True)
class Case:
    """One run: its evolvers with their slots and tokens a second, and what their pools hold in flight."""

    name: str
    slots: int
    rates: dict[str, float]
    in_flight: str

    @property
    def pool(self) -> dict[str, Any]:
        """The pools' configuration; of "default" what a pool has by itself."""
        if self.in_flight == "default":
            return {"size": 1}
        rows, batches = self.in_flight.split("x")
        return {"size": 1, "batch_rows": int(rows), "batches_in_flight": int(batches)}


def configuration(folder: Path, case: Case) -> RunConfig:
    """Each seed through one evolver, by weights that are the evolvers' speeds; the other stages answer at once."""
    return RunConfig.model_validate(
        {
            "output": str(folder / "out"),
            "seeds": {"path": str(folder / "seeds.jsonl")},
            "strategy": {"rounds": ROUNDS},
            "sharing": "split",
            "evolvers": {
                name: {
                    "engine": {
                        "kind": "scripted",
                        "model": name,
                        "slots": case.slots,
                        "prefill_rate": 20 * rate,
                        "decode_rate": rate,
                        "median_tokens": 40,
                        "sigma": 0.65,
                        "slot_log": str(folder / name),
                    },
                    "weight": rate,
                    "pool": case.pool,
                }
                for name, rate in case.rates.items()
            },
            "responder": {"engine": {"kind": "scripted"}, "pool": {"size": 1}},
            "scorer": {"kind": "scripted", "pool": {"size": 1}},
        }
    )


def occupancy(log: Path, slots: int) -> tuple[float, float]:
    """The mean share of slots that are taken between ramp-up and tail, and the seconds in between."""
    taken, left = np.loadtxt(log).T
    changes = np.concatenate([np.stack([taken, np.ones_like(taken)]), np.stack([left, -np.ones_like(left)])], axis=1)
    changes = changes[:, np.lexsort((changes[1], changes[0]))]
    full = np.cumsum(changes[1]) >= slots
    start = changes[0][full.argmax()]
    end = np.sort(taken)[-slots * ROUNDS]
    return _overlap(taken, left, start, end) / (slots * (end - start)), end - start


def _overlap(taken: npt.NDArray[np.float64], left: npt.NDArray[np.float64], start: float, end: float) -> float:
    return float(np.clip(np.minimum(left, end) - np.maximum(taken, start), 0, None).sum())


def measure(case: Case, seconds: float) -> list[list[object]]:
    """Run a case so that its engines are busy for about `seconds`; one line an evolver."""
    rows = round(seconds * case.slots * sum(case.rates.values()) / 100 / SECONDS_A_CALL / ROUNDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder / "seeds.jsonl", rows)
        report = run(SynthesisJob(configuration(folder, case)))
        assert report["reconciles"]
        found = {evolver: occupancy(folder / evolver, case.slots) for evolver in case.rates}
    return [
        [case.name, case.in_flight, evolver, case.slots, f"{rows:,}", f"{between:.0f}", f"{share:.3f}"]
        for evolver, (share, between) in found.items()
    ]


def main() -> None:
    """Run the benchmark and publish its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long the engines of one run are busy")
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--in-flight", nargs="+", default=["default"], help="batch_rows x batches_in_flight: 128x4")
    args = parser.parse_args()
    even_priority()
    pools = {"one pool": {"even": 100.0}, "two pools": {"fast": 100.0, "slow": 33.0}}
    cases = [
        Case(name, slots, rates, how) for slots in args.slots for how in args.in_flight for name, rates in pools.items()
    ]
    headings = ["run", "rows a block x blocks in flight", "evolver", "slots", "rows", "seconds", "mean occupancy"]
    publish("slot_occupancy", markdown(headings, [line for case in cases for line in measure(case, args.seconds)]))


if __name__ == "__main__":
    main()
