"""A real model that thinks before it answers: whatever asks it, no thought reaches a text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from ray_jobs.jobs.analysis.analyse import analyse, folder_of
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.autoif.phases import autoif_jobs
from ray_jobs.jobs.registry import run_all
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run
from tests.evolve.engines.test_real_engines import ENVIRONMENT
from tests.ray_jobs.jobs.autoif.samples import autoif_config
from tests.ray_jobs.named_engine import named_engine
from tests.ray_jobs.samples import run_config, write_seeds
from tests.thinking_model import TEMPLATE, thinking_model

SEEDS = ["Name three fruits.", "What is 7 times 8?", "Explain what a list is in Python.", "Write a line about rain."]
BUDGET = 20
BEGUN = "Let me see. First of all, I"
"""So small a model would end its turn before it has thought anything. It counts as thought."""
SENTENCE = r"[A-Z][a-z ]{20,40}\."
LINES = r"[A-Z][a-z ]{10,20}\n[A-Z][a-z ]{10,20}\n"
CASES = r'"cases": \[\{"input": "[a-z ]{3,9}", "output": true\}\]'
FUNCTION = rf'\{{"func": "def evaluate\(response\):\\n    return True", {CASES}\}}'

pytestmark = [pytest.mark.engine, pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def engine(local_ray: None, smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The model, whose thoughts vLLM ends after a few tokens."""
    arguments = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "max_num_seqs": 8}
    model = thinking_model(smollm2_dir, tmp_path_factory.mktemp("thinking") / "model")
    chat = {"model": str(model), "chat_template": TEMPLATE + BEGUN, "template_arguments": {"tone": "calm"}}
    thinking = {"reasoning_tokens": BUDGET, "arguments": arguments, "environment": ENVIRONMENT}
    with named_engine("thinking", {**chat, **thinking}) as named:
        yield named


def written(pattern: str, tokens: int = 40) -> dict[str, Any]:
    """Sampling under which the model thinks to the end of its budget and its answers look like this.

    So small a model would end its turn where it likes, and writes no more than babble.
    """
    return {"max_tokens": tokens, "extra": {"min_tokens": 12, "structured_outputs": {"regex": pattern}}}


def records(output: Path) -> list[dict[str, Any]]:
    """The kept records, none of which shows a mark of thoughts in any of its texts."""
    kept: list[dict[str, Any]] = ds.dataset(output / "data").to_table().to_pylist()
    assert kept
    assert not [text for record in kept for text in _texts(record) if "think>" in text]
    return kept


def _texts(record: Mapping[str, Any]) -> Iterator[str]:
    return (value for value in record.values() if isinstance(value, str))


def test_no_thought_reaches_a_text(tmp_path: Path, engine: dict[str, str]) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    evolving = {"rounds": 2, "sampling": written(SENTENCE), "elimination": "none"}
    responder = {"kind": "evolver", "sampling": written(SENTENCE)}
    config = run_config(
        tmp_path, strategy=evolving, evolvers={"small": {"engine": engine}}, responder=responder, keep_thoughts=True
    )
    run(SynthesisJob(config), say=lambda _: None)
    for record in records(tmp_path / "out"):
        assert record["reasoning"]
        assert record["evolver_reasoning"]
        assert 0 < record["reasoning_tokens"] < record["completion_tokens"]

    # a judge thinks first, then fills its form
    folder = folder_of(str(tmp_path / "out"), "difficulty_score")
    judge = {"kind": "difficulty_score", "judge": {"engine": engine}}
    analyse(
        AnalysisRunConfig.model_validate({"source": str(tmp_path / "out"), "output": folder, "analysis": judge}),
        say=lambda _: None,
    )
    assert all(1 <= record["difficulty_score"] <= 100 for record in records(Path(folder)))
    assert _reasons(Path(folder)) <= {"unfinished_reasoning"}


def _reasons(output: Path) -> set[str]:
    rejected = output / "rejected"
    return {row["reason"] for row in ds.dataset(rejected).to_table().to_pylist()} if rejected.is_dir() else set()


def test_no_thought_reaches_autoifs_functions_and_responses(tmp_path: Path, engine: dict[str, str]) -> None:
    strategy = {
        "preset": "paper",
        "augment_calls": 1,
        "instructions_a_call": 2,
        "replies": 1,
        "queries": 1,
        "responses": 1,
        "forms": False,
        "cross_validation": {"min_functions": 1, "min_cases": 1},
        "augment_sampling": written(LINES),
        "verify_sampling": written(FUNCTION, 90),
        "respond_sampling": written(SENTENCE),
    }
    own = {"engine": engine}
    run_all(autoif_jobs(autoif_config(tmp_path, strategy, evolvers={"small": own}, responder=own)), say=lambda _: None)
    for folder in ("out/augment", "out/instructions"):
        records(tmp_path / folder)
    for record in records(tmp_path / "out"):
        assert record["reasoning"]
        assert json.loads(record["trajectory"])["constraint"]
