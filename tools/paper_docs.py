"""Writes the table of constants in docs/paper.md: what the paper says, and what the shipped configurations hold.

    python tools/paper_docs.py

A test keeps them equal, so whoever changes a default or a configuration of examples/paper runs this.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.method_search.config import OptimizeConfig
from tools.column_docs import lines_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "paper.md"
BEGIN, END = "<!-- constants: begin -->", "<!-- constants: end -->"
SMALL, LARGE = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"
EVOL = "evol_instruct_alpaca"
PAPER: list[tuple[str, str, str, Any]] = [
    ("temperature of evolvers", EVOL, "strategy.sampling.temperature", 0.7),
    ("top_p of evolvers", EVOL, "strategy.sampling.top_p", 0.95),
    ("tokens of a reply", EVOL, "strategy.sampling.max_tokens", 2048),
    ("rounds of Tables 1 and 2", EVOL, "strategy.rounds", 1),
    ("rounds of Table 10", "three_rounds_alpaca", "strategy.rounds", 3),
    ("breadth on Alpaca (K = 5)", EVOL, "strategy.breadth", True),
    ("breadth on GSM8K (K = 4)", "evol_instruct_gsm8k", "strategy.breadth", False),
    ("breadth on Code Alpaca (K = 4)", "evol_instruct_code_alpaca", "strategy.breadth", False),
    ("responder", EVOL, "responder.engine.model", "Qwen/Qwen2.5-72B-Instruct"),
    ("temperature of answers", EVOL, "responder.sampling.temperature", 0),
    ("task wrapped in a prompt", EVOL, "responder.prompt", "paper"),
    ("scorer", EVOL, "scorer.model", "meta-llama/Llama-3.2-3B"),
    ("small evolver", EVOL, "evolvers.llama-8b.engine.model", SMALL),
    ("large evolver", EVOL, "evolvers.llama-70b.engine.model", LARGE),
    ("responder of the Qwen-2.5 study", "qwen25_students_alpaca", "responder.engine.model", LARGE),
    ("small evolver of the Qwen-2.5 study", "qwen25_students_alpaca", "evolvers.llama-8b.engine.model", SMALL),
    *(
        (f"temperature study: {name}", f"temperature_{name}_code_alpaca", "strategy.sampling.temperature", value)
        for name, value in (("greedy", 0), ("01", 0.1), ("03", 0.3), ("05", 0.5), ("07", 0.7), ("09", 0.9))
    ),
    ("AutoIF: calls for instructions", "autoif", "strategy.augment_calls", 100),
    ("AutoIF: instructions a call", "autoif", "strategy.instructions_a_call", 50),
    ("AutoIF: verification replies", "autoif", "strategy.replies", 8),
    ("AutoIF: accuracy of a function", "autoif", "strategy.cross_validation.function.at_least", 0.8),
    ("AutoIF: functions at least", "autoif", "strategy.cross_validation.min_functions", 1),
    ("AutoIF: cases at least", "autoif", "strategy.cross_validation.min_cases", 1),
    ("AutoIF: queries an instruction", "autoif", "strategy.queries", 16),
    ("AutoIF: characters of a query", "autoif", "strategy.query_characters", (20, 300)),
    ("AutoIF: answers a prompt", "autoif", "strategy.responses", 1),
    ("AutoIF: temperature of answers", "autoif", "strategy.respond_sampling.temperature", 0),
    ("search: mini-batch", "", "search.minibatch", 10),
    ("search: candidates", "", "search.candidates", 5),
    ("search: dev rows", "", "search.dev_rows", 50),
    ("search: seeds set aside", "", "search.pool_rows", 2000),
    ("search: steps at most", "", "search.steps", 10),
    ("search: temperature of the optimiser", "", "sampling.optimiser.temperature", 0.6),
]
"""What a constant is, its configuration (empty: the defaults of the search), its path, and the paper's value."""


def value_at(config: Any, path: str) -> Any:
    """The value at a dotted path of a configuration."""
    for name in path.split("."):
        config = config[name] if isinstance(config, dict) else getattr(config, name)
    return config


def rows() -> Iterator[tuple[str, ...]]:
    """The table, in which the last column is found by comparing."""
    read: dict[str, Any] = {}
    defaults = {name: OptimizeConfig.model_fields[name].get_default() for name in ("search", "sampling")}
    for what, name, path, paper in PAPER:
        if name and name not in read:
            read[name] = load_config(ROOT / "examples" / "paper" / f"{name}.yaml")
        value = value_at(read[name] if name else defaults, path)
        place = f"`examples/paper/{name}.yaml`" if name else "default of `evolve optimize`"
        yield what, shown(paper), shown(value), f"{place}, `{path}`", "same" if value == paper else "different"


def shown(value: Any) -> str:
    """A value as it stands in YAML, or nearly."""
    if isinstance(value, tuple):
        return " to ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def page() -> str:
    """docs/paper.md as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    heading = ["| constant | in the paper | here | where | |", "|---|---|---|---|---|"]
    return "\n".join([f"{head}{BEGIN}", *heading, *lines_of(rows()), f"{END}{rest.split(END)[1]}"])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
