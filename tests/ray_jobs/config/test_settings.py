"""Which changed settings a run may go on under."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evolve.strategies.evol_instruct import EvolInstruct
from evolve.strategies.respond import load_response_template
from ray_jobs.config.engines import build_strategy
from ray_jobs.config.identity import changes, fingerprint
from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.synthesis import synthesis_settings

ENGINE: dict[str, Any] = {"kind": "scripted"}
VLLM = {"kind": "vllm", "model": "m", "arguments": {"max_model_len": 512, "tensor_parallel_size": 1}}
BASE: dict[str, Any] = {
    "output": "out",
    "seeds": {"path": "seeds.jsonl"},
    "strategy": {"rounds": 2},
    "evolvers": {"a": {"engine": VLLM}, "pool": {"engine": {"kind": "scripted", "model": "one"}}},
    "responder": {"engine": {"kind": "openai", "model": "m", "url": "http://one"}},
    "scorer": {"model": "m"},
}


def settings(raw: dict[str, Any]) -> dict[str, Any]:
    run = RunConfig.model_validate(raw)
    return synthesis_settings(run, build_strategy(run.strategy))


def changed(path: str, value: object, base: dict[str, Any] = BASE) -> list[str]:
    """What is told where the setting at `path` gets another value."""
    now: dict[str, Any] = json.loads(json.dumps(base))
    *parents, last = path.split("/")
    place = now
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return changes(settings(base), settings(now))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("output", "s3://b/moved"),
        ("storage/key", "k"),
        ("seeds/path", "more.jsonl"),
        ("seeds/limit", 3),
        ("seeds/on_error", "stop"),
        ("limits/stall_seconds", 5),
        ("ray/num_cpus", 9),
        ("evolvers/a/pool/size", 7),
        ("evolvers/pool/pool/batch_rows", 7),
        ("responder/pool/gpus", 1),
        ("scorer/pool/resources", {"big": 1}),
        ("evolvers/a/weight", 3),
        ("evolvers/a/engine/environment", {"OMP_NUM_THREADS": "4"}),
        ("evolvers/a/engine/arguments/tensor_parallel_size", 8),
        ("evolvers/a/engine/arguments/gpu_memory_utilization", 0.5),
        ("evolvers/pool/engine/decode_rate", 10),
        ("evolvers/pool/engine/call_log", "x"),
        ("evolvers/pool/engine/slot_log", "x"),
        ("responder/engine/url", "http://two"),
        ("responder/engine/retries", 1),
        ("scorer/device", "cpu"),
        ("scorer/token_budget", 100),
    ],
)
def test_where_and_how_fast_may_change(path: str, value: object) -> None:
    assert changed(path, value) == []


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        ("seed", 1, ["seed: 0 before, 1 now"]),
        ("samples", 2, ["samples: 1 before, 2 now"]),
        ("keep_rounds", "last", ['keep_rounds: "all" before, "last" now']),
        ("sharing", "split", [
            "evolvers.a.weight: nothing before, 1.0 now",
            "evolvers.pool.weight: nothing before, 1.0 now",
            'sharing: "every" before, "split" now',
        ]),
        ("evolvers/a/engine/model", "n", ['evolvers.a.engine.model: "m" before, "n" now']),
        ("evolvers/pool/engine/model", "two", ['evolvers.pool.engine.model: "one" before, "two" now']),
        ("evolvers/pool/engine/median_tokens", 9, ["evolvers.pool.engine.median_tokens: 40 before, 9 now"]),
        ("evolvers/a/engine/arguments/max_model_len", 64, [
            "evolvers.a.engine.arguments.max_model_len: 512 before, 64 now"
        ]),
        ("evolvers/a/engine/arguments/quantization", "fp8", [
            'evolvers.a.engine.arguments.quantization: nothing before, "fp8" now'
        ]),
        ("responder/sampling/max_tokens", 9, ["responder.sampling.max_tokens: 2048 before, 9 now"]),
        ("scorer/mode", "chat", ['scorer.mode: "plain" before, "chat" now']),
        ("scorer", None, []),
    ],
)  # fmt: skip
def test_what_changes_results_is_named(path: str, value: object, lines: list[str]) -> None:
    told = changed(path, value)
    assert told
    assert set(lines) <= set(told)
    if lines:
        assert told == lines


def test_a_changed_strategy_shows_in_its_field_and_its_fingerprint() -> None:
    rounds, print_ = sorted(changed("strategy/rounds", 3), reverse=True)
    assert rounds == "strategy.rounds: 2 before, 3 now"
    assert print_.startswith('strategy.fingerprint: "')


def test_weights_count_where_seeds_are_split() -> None:
    assert changed("evolvers/a/weight", 3, BASE | {"sharing": "split"}) == ["evolvers.a.weight: 1.0 before, 3.0 now"]


def test_a_changed_template_changes_the_strategy_and_a_moved_one_does_not(tmp_path: Path) -> None:
    for name, word in (("one", "harder"), ("two", "harder"), ("three", "hardest")):
        file = tmp_path / name / "evol_instruct" / "deepen.txt"
        file.parent.mkdir(parents=True)
        file.write_text(f"Make this {word}: {{instruction}}")
    base = BASE | {"strategy": {"templates": str(tmp_path / "one")}}
    assert changed("strategy/templates", str(tmp_path / "two"), base) == []
    assert changed("strategy/templates", {"evol_instruct/deepen": "Make this harder: {instruction}"}, base) == []
    (line,) = changed("strategy/templates", str(tmp_path / "three"), base)
    assert line.startswith("strategy.fingerprint: ")


def test_the_run_id_is_that_of_its_settings() -> None:
    item = settings(BASE)
    assert fingerprint(item) == fingerprint(dict(reversed(item.items())))
    assert fingerprint(item) != fingerprint(item | {"seed": 1})


def test_every_setting_of_the_strategy_reaches_it() -> None:
    run = RunConfig.model_validate(BASE | {"strategy": {"rounds": 4, "breadth": False, "complicate_input": True}})
    strategy = build_strategy(run.strategy)
    assert isinstance(strategy, EvolInstruct)
    assert strategy.rounds == 4
    assert strategy.fingerprint() != build_strategy(RunConfig.model_validate(BASE).strategy).fingerprint()


def test_a_response_template_counts_where_it_is_more_than_the_bare_task(tmp_path: Path) -> None:
    def ask(prompt: str, templates: Path | None = None) -> dict[str, Any]:
        raw = BASE | {"responder": BASE["responder"] | {"prompt": prompt}, "strategy": {"templates": templates}}
        run = RunConfig.model_validate(raw)
        response = load_response_template(run.responder.prompt, run.strategy.templates)
        return synthesis_settings(run, build_strategy(run.strategy), None, response)

    bare = ask("bare")
    assert not {"responder.prompt", "responder.template"} & bare.keys()
    first, second = changes(bare, ask("paper"))
    assert first == 'responder.prompt: nothing before, "paper" now'
    assert second.startswith("responder.template: nothing before")
    (tmp_path / "respond").mkdir()
    (tmp_path / "respond" / "bare.txt").write_text("Answer: {instruction}")
    (line,) = changes(bare, ask("bare", tmp_path))
    assert line.startswith("responder.template: nothing before")
