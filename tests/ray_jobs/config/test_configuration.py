"""What a configuration may say, and the whole message for everything it may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evolve.strategies.elimination import Elimination
from ray_jobs.config.load import parse_storage
from ray_jobs.config.run import PoolResponderConfig, RunConfig
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.finish_config import FinishingRunConfig
from ray_jobs.jobs.load import load_config

BASE = """
output: out
seeds: {path: seeds.jsonl}
evolvers: {a: {engine: {kind: scripted}}}
responder: {kind: evolver}
"""
RUN_FIELDS = (
    "confidence_share, evolvers, finish, keep_rounds, keep_thoughts, limits, notify, output, ray, responder, samples, "
    "scorer, seed, seeds, sharing, storage, strategy, through, trackers"
)
ENGINE = "kind: scripted"


def load(folder: Path, changes: str = "", *overrides: str) -> RunConfig:
    """The base configuration with the top-level fields of `changes` in place of its own."""
    path = folder / "run.yaml"
    raw: dict[str, Any] = {**yaml.safe_load(BASE), **(yaml.safe_load(changes) or {})}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_config(path, overrides)


def told(folder: Path, changes: str) -> list[str]:
    """The lines below the first one of what a wrong configuration is told."""
    with pytest.raises(ConfigError) as raised:
        load(folder, changes)
    first, *lines = str(raised.value).splitlines()
    assert first == f"{folder / 'run.yaml'}: the configuration is wrong"
    return lines


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        # unknown fields, at every depth
        ("outputt: x", f"outputt: unknown field; did you mean output? (allowed: {RUN_FIELDS})"),
        ("zzz: x", f"zzz: unknown field (allowed: {RUN_FIELDS})"),
        (
            "seeds: {path: x, limt: 3}",
            "seeds.limt: unknown field; did you mean limit? "
            "(allowed: columns, format, gone, layout, limit, on_error, path, storage)",
        ),
        (
            "strategy: {sampling: {temprature: 1}}",
            "strategy.sampling.temprature: unknown field; did you mean temperature? "
            "(allowed: extra, max_tokens, min_p, "
            "presence_penalty, repetition_penalty, stop, temperature, top_k, top_p)",
        ),
        (
            "strategy: {elimination: {equall: true}}",
            "strategy.elimination.equall: unknown field; did you mean equal? "
            "(allowed: equal, leaked_reasoning, leaked_words, punctuation_only, refusal, truncated, "
            "truncated_response, unchanged)",
        ),
        (
            "evolvers: {a: {engine: {kind: scripted}, pool: {sise: 1}}}",
            "evolvers.a.pool.sise: unknown field; did you mean size? (allowed: accelerator_type, batch_rows, "
            "batches_in_flight, cpus, gpus, max_size, min_size, nodes, price, resources, size, variants)",
        ),
        (
            "evolvers: {a: {engine: {model: m, argument: {}}}}",
            "evolvers.a.engine.argument: unknown field; did you mean arguments? "
            "(allowed: adapter, arguments, chat_template, control_tokens, environment, kind, model, reasoning, "
            "reasoning_tokens, system, template_arguments)",
        ),
        (
            "evolvers: {a: {engine: {kind: openai, model: m, url: 'http://x', retry: 3}}}",
            "evolvers.a.engine.retry: unknown field; did you mean retries? "
            "(allowed: api_key_env, chat_template, kind, max_requests, model, reasoning, reasoning_tokens, "
            "requests_per_minute, retries, system, template_arguments, timeout_seconds, tokens_per_minute, url)",
        ),
        (
            "responder: {kind: pool, engine: {kind: scripted}, pool: {siz: 1}}",
            "responder.pool.siz: unknown field; did you mean size? (allowed: accelerator_type, batch_rows, "
            "batches_in_flight, cpus, gpus, max_size, min_size, nodes, price, resources, size, variants)",
        ),
        (
            "responder: {kind: evolver, samplng: {}}",
            "responder.samplng: unknown field; did you mean sampling? "
            "(allowed: adapter, answers, choose, kind, pairs, prefer, prompt, sampling)",
        ),
        (
            "scorer: {kind: scripted, pol: {}}",
            "scorer.pol: unknown field; did you mean pool? (allowed: kind, model, pool, with_reasoning)",
        ),
        (
            "limits: {stall_second: 1}",
            "limits.stall_second: unknown field; did you mean stall_seconds? "
            "(allowed: budget, drain_seconds, engine_restarts, journal, planned_rows, stall_seconds, storage_seconds)",
        ),
        # missing
        ("seeds: {}", "seeds.path: is missing"),
        ("evolvers: {a: {}}", "evolvers.a.engine: is missing"),
        ("responder: {engine: {}}", "responder.engine.model: is missing"),
        # wrong types
        (
            "strategy: {rounds: two}",
            "strategy.rounds: Input should be a valid integer, unable to parse string as an integer, got 'two'",
        ),
        ("evolvers: 3", "evolvers: expected a group of settings, got 3"),
        ("evolvers: {a: 3}", "evolvers.a: expected a group of settings, got 3"),
        ("strategy: null", "strategy: expected a group of settings, got None"),
        ("responder: pool", "responder: expected a group of settings, got 'pool'"),
        ("strategy: {sampling: {stop: x}}", "strategy.sampling.stop: expected a list, got 'x'"),
        ("samples: 1.5", "samples: Input should be a valid integer, got a number with a fractional part, got 1.5"),
        (
            "evolvers: {a: {engine: {model: m, environment: {A: 1}}}}",
            "evolvers.a.engine.environment.A: expected text, in quotes, or {from: NAME OF A VARIABLE}, got '***'",
        ),
        # out of range, not among the allowed ones
        ("strategy: {rounds: 0}", "strategy.rounds: Input should be greater than or equal to 1, got 0"),
        (
            "strategy: {sampling: {temperature: 2.5}}",
            "strategy.sampling.temperature: Input should be less than or equal to 2, got 2.5",
        ),
        ("evolvers: {}", "evolvers: expected at least 1, got {}"),
        (
            "evolvers: {a: {engine: {kind: scripted}, pool: {min_size: 0}}}",
            "evolvers.a.pool.min_size: Input should be greater than or equal to 1, got 0",
        ),
        ("keep_rounds: some", "keep_rounds: Input should be 'all' or 'last', got 'some'"),
        (
            "seeds: {path: x, format: xml}",
            "seeds.format: Input should be 'auto', 'jsonl', 'json', 'csv' or 'parquet', got 'xml'",
        ),
        (
            "seeds: {path: x, columns: {question: q}}",
            "seeds.columns.question: Input should be 'instruction', 'input', 'output' or 'conversation', got "
            "'question'",
        ),
        (
            "responder: {engine: {kind: openai, model: m, url: 'ftp://x'}}",
            "responder.engine.url: expected a URL that begins with http:// or https:// and a host, got 'ftp://x'",
        ),
        (
            "responder: {engine: {kind: openai, model: m, url: ['http://x', 'ftp://x']}}",
            "responder.engine.url: expected a URL that begins with http:// or https:// and a host, got ['http://x', "
            "'ftp://x']",
        ),
        (
            "responder: {engine: {kind: openai, model: m, url: ['http://x', 'http://x']}}",
            "responder.engine.url: expected a URL, or several, none of them twice, got ['http://x', 'http://x']",
        ),
        (
            "evolvers: {'a b': {engine: {kind: scripted}}}",
            "evolvers.a b: String should match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]*$', got 'a b'",
        ),
        # kinds and presets
        (
            "evolvers: {a: {engine: {kind: scriptd}}}",
            "evolvers.a.engine.kind: expected one of 'vllm', 'openai', 'scripted', got 'scriptd'; "
            "did you mean scripted?",
        ),
        ("responder: {kind: self}", "responder.kind: expected one of 'pool', 'evolver', got 'self'"),
        ("scorer: {kind: [1]}", "scorer.kind: expected one of 'model', 'scripted', got '[1]'"),
        (
            "strategy: {kind: evol}",
            "strategy.kind: expected one of 'evol_instruct', 'auto_evol', 'autoif', got 'evol'; "
            "did you mean auto_evol?",
        ),
        (
            "strategy: {elimination: paper}",
            "strategy.elimination: expected one of none, rules, wizardlm, or rules one by one, got 'paper'",
        ),
        # what contradicts itself
        (
            "evolvers: {a: {engine: {kind: scripted}, pool: {size: 1, max_size: 2}}}",
            "evolvers.a.pool: give size, or min_size and max_size, not both, got {'max_size': 2, 'size': 1}",
        ),
        (
            "evolvers: {a: {engine: {kind: scripted}, pool: {min_size: 3, max_size: 2}}}",
            "evolvers.a.pool: min_size 3 is above max_size 2, got {'max_size': 2, 'min_size': 3}",
        ),
    ],
)
def test_a_wrong_field_is_told(tmp_path: Path, changes: str, line: str) -> None:
    assert told(tmp_path, changes) == [f"  {line}"]


def test_a_path_of_seeds_may_be_text_or_a_list(tmp_path: Path) -> None:
    assert told(tmp_path, "seeds: {path: 3}") == [
        "  seeds.path: Input should be a valid string, got 3",
        "  seeds.path: expected a list, got 3",
    ]
    assert load(tmp_path, "seeds: {path: [a, b]}").seeds.path == ("a", "b")


@pytest.mark.parametrize("path", ["''", "[]", "[a, '']"])
def test_a_path_of_seeds_is_not_empty(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"seeds\.path: .*at least 1"):
        load(tmp_path, f"seeds: {{path: {path}}}")


def test_all_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    assert len(told(tmp_path, "{samples: 0, sharing: no, evolvers: {a: {engine: {mdel: m}}}}")) == 4


def test_a_long_value_is_cut_short(tmp_path: Path) -> None:
    (line,) = told(tmp_path, f"samples: {'9' * 5}x{'9' * 500}")
    assert line.endswith("...")
    assert len(line) < 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- 1", "expected a mapping of settings, got list"),
        (b"", "expected a mapping of settings, got NoneType"),
        (b"output: \xff", "expected UTF-8 text, got a byte that is not, at position 8"),
        (b"a: 1\na: 2\n", "is not YAML: a stands here twice\n"),
        (b"a: {b: 1, c: 2, b: 3}", "is not YAML: b stands here twice\n"),
        (b"a: [1", "is not YAML: while parsing a flow sequence\n"),
        (b"? [1]\n: 2", "is not YAML: while constructing a mapping\n"),
        (b"a: !!python/object:os.system x", "is not YAML: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_configuration_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert str(raised.value).startswith(f"{path}: {message}")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file or directory"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_the_defaults_are_the_papers(tmp_path: Path) -> None:
    run = load(tmp_path, "responder: {engine: {kind: scripted}}")
    evolving = run.strategy.sampling
    assert (evolving.temperature, evolving.top_p, evolving.max_tokens) == (0.7, 0.95, 2048)
    assert isinstance(run.responder, PoolResponderConfig)
    assert (run.responder.sampling.temperature, run.responder.sampling.top_p) == (0.0, 1.0)
    assert (run.sharing, run.samples, run.keep_rounds, run.scorer) == ("every", 1, "all", None)
    assert run.evolvers["a"].pool.bounds == (1, 1)


@pytest.mark.parametrize(
    ("pool", "bounds"),
    [("{size: 3}", (3, 3)), ("{min_size: 2}", (2, 2)), ("{max_size: 4}", (1, 4))],
)
def test_a_pool_has_one_size_or_two_bounds(tmp_path: Path, pool: str, bounds: tuple[int, int]) -> None:
    run = load(tmp_path, f"evolvers: {{a: {{engine: {{kind: scripted}}, pool: {pool}}}}}")
    assert run.evolvers["a"].pool.bounds == bounds


@pytest.mark.parametrize(
    ("elimination", "rules"),
    [
        ("none", Elimination.none()),
        ("rules", Elimination()),
        ("wizardlm", Elimination.wizardlm()),
        ("{equal: true, refusal: false}", Elimination(equal=True, refusal=False)),
    ],
)
def test_elimination_by_name_or_one_by_one(tmp_path: Path, elimination: str, rules: Elimination) -> None:
    assert load(tmp_path, f"strategy: {{elimination: {elimination}}}").strategy.rules() == rules


def test_overrides_are_applied_in_order_with_yaml_values(tmp_path: Path) -> None:
    run = load(
        tmp_path,
        "",
        "strategy.rounds=2",
        "strategy.rounds=3",
        "seeds.columns={instruction: question}",
        "scorer.kind=scripted",
        "evolvers.b.engine.kind=scripted",
    )
    assert run.strategy.rounds == 3
    assert run.seeds.columns == {"instruction": "question"}
    assert run.scorer is not None
    assert list(run.evolvers) == ["a", "b"]


def test_an_override_reaches_an_evolver_whose_name_holds_dots(tmp_path: Path) -> None:
    run = load(tmp_path, f"evolvers: {{qwen2.5-0.5b: {{engine: {{{ENGINE}}}}}}}", "evolvers.qwen2.5-0.5b.weight=3")
    assert run.evolvers["qwen2.5-0.5b"].weight == 3


def test_output_replaces_the_configured_one(tmp_path: Path) -> None:
    load(tmp_path)
    assert load_config(tmp_path / "run.yaml", output="s3://b/x").output == "s3://b/x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("strategy", "--set strategy: expected dotted.path=value, such as strategy.rounds=3"),
        ("=3", "--set : expected dotted.path=value, such as strategy.rounds=3"),
        ("output.x=1", "--set output.x: output is not a group of settings"),
        ("samples=[1", "--set samples: the value is not YAML: while parsing a flow sequence\n"),
    ],
)
def test_a_wrong_override_is_told(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, "", override)
    assert str(raised.value).startswith(message)


def test_storage_options_from_the_command_line() -> None:
    assert parse_storage(None) == {}
    assert parse_storage("{endpoint_url: http://127.0.0.1:9000}") == {"endpoint_url": "http://127.0.0.1:9000"}
    with pytest.raises(ConfigError, match=r"--storage: expected a mapping such as \{endpoint_url: "):
        parse_storage("key")
    with pytest.raises(ConfigError, match=r"--storage: is not YAML: "):
        parse_storage("{")


def test_a_configuration_survives_json(tmp_path: Path) -> None:
    run = load(tmp_path, "{scorer: {model: m}, strategy: {elimination: wizardlm, templates: x}}")
    assert FinishingRunConfig.model_validate(json.loads(run.model_dump_json())) == run


def test_a_setting_of_an_earlier_version_is_read_and_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, now = "{scorer: {model: m, bfloat16_pairs: false}}", "{scorer: {model: m}}"
    assert load(tmp_path, before).scorer == load(tmp_path, now).scorer
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["scorer.bfloat16_pairs"]
