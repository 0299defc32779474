"""This project with its defaults, by Python rather than the command: two rounds, and an answer to the last."""

from __future__ import annotations

import sys
from importlib.metadata import version

from ray_jobs.config.load import validated
from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run


def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Begin the run, or go on with it."""
    raw = {
        "output": out,
        "seeds": {"path": seeds},
        "strategy": {"rounds": 2, "elimination": "none"},
        "keep_rounds": "last",
        "evolvers": {"a": {"engine": {"kind": "openai", "model": "m", "url": url, "max_requests": at_once}}},
        "responder": {"kind": "evolver"},
        "scorer": None,
    }
    run(SynthesisJob(validated(RunConfig, raw, "peers")))


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"here, defaults, {version('slm-evolve')}")
    else:
        main(*sys.argv[1:4], int(sys.argv[4]))
