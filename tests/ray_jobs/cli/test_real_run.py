"""A whole run with real models: the evolve command, vLLM engines and the real scorer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from tests.chaos.nodes import until
from tests.ray_jobs.mortal_engine import MARK
from tests.ray_jobs.samples import write_seeds

SEEDS = ["Name three fruits.", "What is 7 times 8?", "Write a line about rain.", "Explain what a list is in Python."]
ROOT = Path(__file__).parents[3]
ARGUMENTS = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "max_num_seqs": 8}
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}


def evolve_run(config: Path) -> subprocess.CompletedProcess[str]:
    """A run that must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "ray_jobs.cli", "run", str(config)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.engine
@pytest.mark.ray
@pytest.mark.timeout(1200)
def test_four_seeds_through_real_models(tmp_path: Path, smollm2_dir: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    config = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "confidence_share": 1,
        "strategy": {"elimination": "none", "sampling": {"max_tokens": 24}},
        "evolvers": {
            "small": {"engine": {"model": str(smollm2_dir), "arguments": ARGUMENTS, "environment": ENVIRONMENT}}
        },
        "responder": {"kind": "evolver", "sampling": {"max_tokens": 24}},
        "scorer": {"model": str(smollm2_dir), "threads": 2},
    }
    (tmp_path / "run.json").write_text(json.dumps(config))
    done = evolve_run(tmp_path / "run.json")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["reconciles"] is True
    assert report["records"]["planned"] == len(SEEDS)
    kept = ds.dataset(tmp_path / "out" / "data").to_table().to_pylist()
    assert len(kept) == report["records"]["kept"] > 0
    for record in kept:
        assert record["instruction"] != record["seed_instruction"]
        assert record["evolver_model"] == record["responder_model"] == record["scorer_model"] == str(smollm2_dir)
        assert record["completion_tokens"] <= 48
        assert 0 < record["mean_top1_prob"] <= 1
        if record["score_note"] is None:
            assert record["ifd"] == pytest.approx(record["loss_a_given_q"] / record["loss_a"], rel=1e-6)
            assert record["ic_ifd"] == pytest.approx(record["ifd"] / record["loss_q"], rel=1e-6)
    assert any(record["ic_ifd"] for record in kept)
    assert "mean IC-IFD" in done.stdout


@pytest.mark.engine
@pytest.mark.ray
@pytest.mark.chaos_long
@pytest.mark.timeout(1200)
def test_a_row_that_kills_the_engine_process_fails_and_the_others_are_finished(
    tmp_path: Path, smollm2_dir: Path
) -> None:
    write_seeds(tmp_path / "seeds.jsonl", [*SEEDS, f"Describe a {MARK} plant."])
    engine = {
        "kind": "tests.ray_jobs.mortal_engine:MortalVllm",
        "model": str(smollm2_dir),
        "arguments": ARGUMENTS,
        "environment": ENVIRONMENT,
    }
    config = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "strategy": {"elimination": "none", "rounds": 2, "sampling": {"max_tokens": 24}},
        "evolvers": {"small": {"engine": engine}},
        "responder": {"kind": "evolver", "sampling": {"max_tokens": 24}},
        "limits": {"journal": 1},
    }
    (tmp_path / "run.json").write_text(json.dumps(config))
    evolve_run(tmp_path / "run.json")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["reconciles"] is True
    assert report["reasons"]["failed: engine_died"] == 2
    assert report["records"]["failed"] == 2
    # five rows under way: twice all of them, then two, then one
    assert 3 <= report["pools"]["evolve_small"]["actor_starts"] <= 6
    rejected = ds.dataset(tmp_path / "out" / "rejected").to_table().to_pylist()
    killers = [record for record in rejected if record["reason"] == "engine_died"]
    assert {record["seed_instruction"] for record in killers} == {f"Describe a {MARK} plant."}
    assert "died" in killers[0]["error"]


@pytest.mark.engine
@pytest.mark.ray
@pytest.mark.chaos_long
@pytest.mark.timeout(1200)
def test_a_kill_in_the_second_round_makes_no_round_of_a_real_model_twice(tmp_path: Path, smollm2_dir: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    engine = {
        "kind": "tests.ray_jobs.counted_engine:CountedVllm",
        "model": str(smollm2_dir),
        "arguments": ARGUMENTS,
        "environment": ENVIRONMENT,
        "folder": str(tmp_path),
    }
    sampling = {"max_tokens": 120, "extra": {"min_tokens": 100}}
    config = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "strategy": {"elimination": "none", "rounds": 3, "sampling": sampling},
        "evolvers": {"small": {"engine": engine}},
        "responder": {"kind": "evolver", "sampling": {"max_tokens": 24}},
        "limits": {"journal": 0.2},
    }
    (tmp_path / "run.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "ray_jobs.cli", "run", str(tmp_path / "run.json")]
    with (tmp_path / "log").open("wb") as log:
        killed = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    until(lambda: killed.poll() is not None or len(lines(tmp_path / "answered")) > len(SEEDS), 600, "a second round")
    # what was answered is written in this time, and a round takes longer
    time.sleep(0.5)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL, (tmp_path / "log").read_text()
    answered = lines(tmp_path / "answered")
    first = lines(tmp_path / "asked")[: len(SEEDS)]
    assert set(first) < set(answered)
    assert len(answered) < 2 * len(SEEDS), "no longer in the second round"
    evolve_run(tmp_path / "run.json")
    asked = Counter(lines(tmp_path / "asked"))
    assert {asked[digest] for digest in first} == {1}
    assert asked.total() - len(asked) <= len(SEEDS)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["reconciles"] is True
    assert report["records"]["planned"] == 3 * len(SEEDS)
    assert report["pools"]["evolve_small"]["replies_given_again"] >= len(SEEDS)


def lines(path: Path) -> list[str]:
    """The digests in a file so far, none as long as it is not there."""
    return path.read_text().splitlines() if path.exists() else []
