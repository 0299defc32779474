"""The paper's experiments as configurations: valid, of the paper's settings, and with a cost that follows from them."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from evolve.autoif.rules import PAPER
from evolve.strategies.elimination import Elimination
from ray_jobs.config.run import ModelScorerConfig, PoolResponderConfig
from ray_jobs.config.strategies import EvolInstructConfig
from ray_jobs.jobs.analysis.config import AnalysisRunConfig, EvolutionRewardConfig
from ray_jobs.jobs.finish_config import FinishingAutoIFConfig, FinishingRunConfig, SelectConfig
from ray_jobs.jobs.load import load_config
from tools import paper_docs

FOLDER = Path(__file__).parents[3] / "examples" / "paper"
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


def test_the_constants_of_the_page_are_those_of_the_configurations() -> None:
    assert paper_docs.PAGE.read_text(encoding="utf-8") == paper_docs.page(), "`python tools/paper_docs.py` writes them"
    assert {row[-1] for row in paper_docs.rows()} == {"same"}


TEMPERATURES = {"greedy": 0, "01": 0.1, "03": 0.3, "05": 0.5, "07": 0.7, "09": 0.9}
RESPONDERS = {"qwen25_students_alpaca": "meta-llama/Llama-3.1-70B-Instruct"}


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_are_the_papers(name: str) -> None:
    run = loaded(name)
    assert run.output == f"s3://YOUR-BUCKET/paper/{name}"
    assert run.strategy.rules() == Elimination.none()
    sampling = run.strategy.sampling
    temperature = TEMPERATURES[name.split("_")[1]] if name.startswith("temperature") else 0.7
    assert (sampling.temperature, sampling.max_tokens) == (temperature, 2048)
    assert sampling.top_p == (0.95 if temperature else 1)
    assert isinstance(run.responder, PoolResponderConfig)
    assert run.responder.engine.model == RESPONDERS.get(name, "Qwen/Qwen2.5-72B-Instruct")
    assert run.responder.prompt == "paper"
    assert run.responder.sampling.temperature == 0
    assert run.scorer
    assert run.scorer.model == "meta-llama/Llama-3.2-3B"
    if isinstance(run.strategy, EvolInstructConfig):
        assert run.strategy.breadth == ("gsm8k" not in name and "code_alpaca" not in name)


def test_autoif_has_the_papers_constants() -> None:
    run = load_config(FOLDER / "autoif.yaml")
    assert isinstance(run, FinishingAutoIFConfig)
    assert run.output == "s3://YOUR-BUCKET/paper/autoif"
    assert run.strategy.build() == replace(PAPER, leaked_reasoning=False, forms=False)
    assert run.responder.engine.model == "Qwen/Qwen2.5-72B-Instruct"


def test_the_selections_are_those_of_table_5() -> None:
    steps = [step for step in loaded("ic_ifd_25_percent").finish if isinstance(step, SelectConfig)]
    assert [step.by for step in steps] == ["instruction_length", "instruction_perplexity", "ifd", "ic_ifd", None]
    assert [step.top or step.random for step in steps] == ["25%"] * 5
    assert len({step.target for step in steps}) == 5
    scorer = loaded("ic_ifd_25_percent").scorer
    assert isinstance(scorer, ModelScorerConfig)
    assert scorer.instruction_length
    assert scorer.instruction_perplexity


def test_the_qwen_study_varies_the_student() -> None:
    run = loaded("qwen25_students_alpaca")
    models = [evolver.engine.model for evolver in run.evolvers.values()]
    assert models == ["meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"]


def test_temperatures_and_shares_are_those_of_the_studies() -> None:
    assert {name.split("_")[1] for name in NAMES if name.startswith("temperature")} == TEMPERATURES.keys()
    steps = [step for step in loaded("alpacafarm_5_10_15_percent").finish if isinstance(step, SelectConfig)]
    assert [(step.top, step.by) for step in steps] == [
        (share, by) for share in ("5%", "10%", "15%") for by in ("ic_ifd", "ifd")
    ]


def test_table_14_rewards_the_evolved_instruction() -> None:
    for name in ("alpaca", "gsm8k", "code_alpaca"):
        steps = loaded(f"three_rounds_{name}").finish
        assert sum(isinstance(step, EvolutionRewardConfig) for step in steps) == 1


def test_the_analyses_beside_are_valid() -> None:
    for name, kind in (("alpacafarm_win", "win"), ("reward", "reward"), ("reward", "evolution_reward")):
        raw = yaml.safe_load((FOLDER / "analyses" / f"{name}.yaml").read_text(encoding="utf-8"))
        analysis = {"source": "out", "output": "out/analyses", "analysis": raw | {"kind": kind}}
        assert AnalysisRunConfig.model_validate(analysis).analysis.kind == kind


def test_every_table_and_figure_of_the_paper_has_its_line() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = [line.split("|")[1] for line in text.splitlines() if line.startswith(("| Table", "| Figure"))]
    for kind, last in (("Table", 15), ("Figure", 7)):
        named = {
            int(number)
            for line in lines
            for part in re.findall(rf"{kind}s?([0-9, and]*)", line)
            for number in re.findall(r"\d+", part)
        }
        assert named >= set(range(2 if kind == "Figure" else 1, last + 1))
    for name in NAMES:
        assert _listed(name, text), name


def _listed(name: str, text: str) -> bool:
    """Whether a file is named, alone or as one of several in braces."""
    table = text.partition("## What they would cost")[0]
    patterns = re.findall(r"`([a-z0-9_{},*]+)\.yaml`", table)
    return any(re.fullmatch(_pattern(pattern), name) for pattern in patterns)


def _pattern(name: str) -> str:
    return re.sub(r"\{([^}]*)\}", lambda match: f"({match[1].replace(',', '|')})", name).replace("*", ".*")


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
