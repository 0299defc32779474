"""The paper's experiments as configurations: valid, of the paper's settings, and with a cost that follows from them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from evolve.autoif.rules import PAPER
from evolve.elimination import Elimination
from ray_jobs.config import PoolResponderConfig
from ray_jobs.configuration import load_config
from ray_jobs.finish_config import FinishingAutoIFConfig, FinishingRunConfig, SelectConfig
from ray_jobs.strategy_config import EvolInstructConfig

FOLDER = Path(__file__).parents[2] / "examples" / "paper"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "autoif")


def loaded(name: str) -> FinishingRunConfig:
    run = load_config(FOLDER / f"{name}.yaml")
    assert isinstance(run, FinishingRunConfig)
    return run


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cost", FOLDER / "cost.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_the_papers(name: str) -> None:
    run = loaded(name)
    assert run.output == f"s3://YOUR-BUCKET/paper/{name}"
    assert run.strategy.rules() == Elimination.none()
    sampling = run.strategy.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.7, 0.95, 2048)
    assert isinstance(run.responder, PoolResponderConfig)
    assert run.responder.engine.model == "Qwen/Qwen2.5-72B-Instruct"
    assert run.responder.sampling.temperature == 0
    assert run.scorer
    assert run.scorer.model == "meta-llama/Llama-3.2-3B"
    if isinstance(run.strategy, EvolInstructConfig):
        assert run.strategy.breadth == ("gsm8k" not in name and "code_alpaca" not in name)


def test_autoif_has_the_papers_constants() -> None:
    run = load_config(FOLDER / "autoif.yaml")
    assert isinstance(run, FinishingAutoIFConfig)
    assert run.output == "s3://YOUR-BUCKET/paper/autoif"
    assert run.strategy.build() == PAPER
    assert run.responder.engine.model == "Qwen/Qwen2.5-72B-Instruct"


def test_the_selections_are_those_of_table_5() -> None:
    steps = [step for step in loaded("ic_ifd_25_percent").finish if isinstance(step, SelectConfig)]
    assert [step.by for step in steps] == ["n_q", "perplexity", "ifd", "ic_ifd"]
    assert {step.top for step in steps} == {"25%"}
    assert len({step.target for step in steps}) == 4


def test_the_readme_lists_every_configuration_and_its_cost(cost: ModuleType) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert cost.written(text) == text, "run: python examples/paper/cost.py"
    assert [line.split("|")[1].strip() for line in cost.table().splitlines()[2:]] == NAMES


def test_the_formula_counts_every_token_once(cost: ModuleType) -> None:
    run = loaded("three_rounds_gsm8k")
    stages = {stage: tokens for stage, _, tokens in cost.work(run)}
    # 7,473 seeds of 60 tokens become instructions of 80, 100 and 120, twice; answers of 250
    assert stages["respond"] == 7473 * 2 * (80 + 100 + 120 + 3 * 250)
    assert stages["score"] == 7473 * 2 * (80 + 100 + 120 + 3 * 500)
    assert stages["evolve llama-8b"] == stages["evolve llama-70b"]
    last = {stage: tokens for stage, _, tokens in cost.work(loaded("ic_ifd_25_percent"))}
    assert last["respond"] == 51983 * (90 + 350)
    assert cost.gpu_hours("x/Y-8B-Instruct", 989e12 * 0.2 * 3600 / 16e9) == pytest.approx(1)
