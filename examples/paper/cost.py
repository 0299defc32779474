"""What the paper's experiments would cost on GPUs: arithmetic on configurations and assumptions, no measurement.

`python examples/paper/cost.py` writes the table into README.md beside it, which shows the formula. Every number that is
assumed stands below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evolve.prompts import SHIPPED, SYSTEM
from ray_jobs.config.run import PoolResponderConfig
from ray_jobs.jobs.analysis.config import DifficultyConfig, DifficultyScoreConfig
from ray_jobs.jobs.finish_config import FinishingRunConfig
from ray_jobs.jobs.load import load_config

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BEGIN, END = "<!-- cost: begin -->", "<!-- cost: end -->"

PEAK = 989e12
"""FLOP a second of an H100 SXM in dense bfloat16, from its data sheet."""
UTILISATION = 0.2
"""Assumed: the share of the peak that generation reaches."""
CHARACTERS_PER_TOKEN = 4
"""Assumed, for the shipped prompts."""
ADDED = 20
"""Assumed: tokens that a round adds to an instruction; its prompts ask for 10 to 20 words."""
FOUR_STEPS = 500
"""Assumed: tokens of an Auto Evol-Instruct reply before its final instruction."""
VERDICT = 8
"""Assumed: tokens of a judge's reply."""
SEEDS = {"alpaca": (51_983, 30, 350), "gsm8k_train": (7_473, 60, 250), "code_alpaca_20k": (20_022, 35, 350)}
"""Rows, and assumed: tokens of a seed with its input, and of an answer to an instruction evolved from it."""

PROMPTS = {"evol_instruct": "evol_instruct/*.txt", "auto_evol": "auto_evol/method.txt"}
JUDGING = "judging/difficulty_*.txt"

Work = Iterator[tuple[str, str, float]]
"""A stage, its model, and the tokens that it reads and writes."""


def work(run: FinishingRunConfig) -> Work:
    """All stages of a run, as if no row were rejected."""
    rows, seed, answer = SEEDS[Path(str(run.seeds.path)).stem]
    rounds, kind = run.strategy.rounds, run.strategy.kind
    records = len(run.evolvers) * (rounds if run.keep_rounds == "all" else 1)
    answered = range(1, rounds + 1) if run.keep_rounds == "all" else [rounds]
    lengths = [seed + ADDED * number for number in range(rounds + 1)]
    for name, evolver in run.evolvers.items():
        reply = FOUR_STEPS if kind == "auto_evol" else 0
        tokens = sum(
            _template(PROMPTS[kind]) + lengths[number - 1] + reply + lengths[number] for number in range(1, rounds + 1)
        )
        yield f"evolve {name}", evolver.engine.model, rows * tokens
    asked = sum(lengths[number] for number in answered) * len(run.evolvers)
    assert isinstance(run.responder, PoolResponderConfig)
    yield "respond", run.responder.engine.model, rows * (asked + answer * records)
    assert run.scorer is not None
    # the pair, and the answer alone
    yield "score", run.scorer.model, rows * (asked + 2 * answer * records)
    for step in run.finish:
        if isinstance(step, DifficultyConfig | DifficultyScoreConfig):
            told = (_template(JUDGING) + VERDICT) * (records + 1) + asked + seed
            yield step.kind, step.judge.engine.model, rows * told


def gpu_hours(model: str, tokens: float) -> float:
    """2 N T FLOP at the assumed share of the peak: N parameters read off the model's name, T tokens."""
    found = re.search(r"(\d+(?:\.\d+)?)B\b", model)
    assert found, f"{model}: its name does not say how large it is"
    return 2 * float(found[1]) * 1e9 * tokens / (PEAK * UTILISATION) / 3600


def table() -> str:
    """One line a configuration: rows, records, tokens of all models, GPU hours by stage and in all."""
    lines = ["| configuration | seeds | records | tokens | evolve | respond | score | judge | GPU hours |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for path in sorted(FOLDER.glob("*.yaml")):
        run = load_config(path)
        # how many rows AutoIF has is known once its models have written constraints
        if not isinstance(run, FinishingRunConfig):
            continue
        hours = dict.fromkeys(("evolve", "respond", "score", "judge"), 0.0)
        total = 0.0
        for stage, model, tokens in work(run):
            name = stage.split()[0]
            hours[name if name in hours else "judge"] += gpu_hours(model, tokens)
            total += tokens
        seeds = SEEDS[Path(str(run.seeds.path)).stem][0]
        records = seeds * len(run.evolvers) * (run.strategy.rounds if run.keep_rounds == "all" else 1)
        cells = [f"{hour:,.1f}" for hour in hours.values()]
        cells = [
            path.stem,
            f"{seeds:,}",
            f"{records:,}",
            f"{total / 1e6:,.0f} M",
            *cells,
            f"{sum(hours.values()):,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def written(text: str) -> str:
    """`text` with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _template(pattern: str) -> float:
    """The mean length in tokens of the shipped prompts of a kind."""
    texts = [path.read_text(encoding="utf-8") for path in SHIPPED.glob(pattern) if path.stem != SYSTEM]
    return sum(map(len, texts)) / len(texts) / CHARACTERS_PER_TOKEN


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
