"""What a run says at its start of models that think aloud."""

from __future__ import annotations

from pathlib import Path

from ray_jobs.jobs.thinking import told
from tests.ray_jobs.samples import run_config
from tests.thinking_model import TEMPLATE


def test_each_engine_is_named_with_its_parser_and_why(tmp_path: Path) -> None:
    (tmp_path / "thinking.jinja").write_text(TEMPLATE)
    thinks = {"model": "lab/thinks", "chat_template": str(tmp_path / "thinking.jinja")}
    engines = {"a": thinks, "b": thinks | {"reasoning": "none"}, "c": {"model": "lab/elsewhere"}}
    evolvers = {name: {"engine": engine} for name, engine in engines.items()}
    said = list[str]()
    told(said.append, {"seed": 1}, run_config(tmp_path, evolvers=evolvers))
    assert said[0].startswith("seed: 1, as this output was begun")
    assert said[1:] == [
        "evolvers.a.engine.reasoning: qwen3, for the chat template holds <think>",
        "evolvers.b.engine.reasoning: none",
    ]
