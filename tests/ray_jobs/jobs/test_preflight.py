"""What is told before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evolve.prompts import SHIPPED
from evolve.strategies.respond import BARE
from ray_jobs.config.run import ModelScorerConfig, RewardConfig
from ray_jobs.errors import ConfigError, OutputError, SeedError, StorageError
from ray_jobs.jobs.preflight import check, check_places, check_reward_model
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.pipeline.stage import absolute
from tests.ray_jobs.samples import run_config, write_seeds

TEMPLATE = "evol_instruct/deepen.txt"
KNOWN = ", ".join(sorted(path.relative_to(SHIPPED).with_suffix("").as_posix() for path in SHIPPED.rglob("*.txt")))


def told(folder: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        SynthesisJob(run_config(folder, **changes))
    return str(raised.value)


def vllm(model: object) -> dict[str, Any]:
    return {"engine": {"kind": "vllm", "model": str(model)}}


def with_template(folder: Path, text: str, name: str = TEMPLATE) -> dict[str, Any]:
    path = folder / "templates" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return {"rounds": 2, "templates": str(folder / "templates")}


def test_a_right_configuration_gives_its_strategy(tmp_path: Path) -> None:
    assert check(run_config(tmp_path)).strategy.rounds == 3
    own = with_template(tmp_path, "Make it harder: {instruction} {input}")
    assert check(run_config(tmp_path, strategy=own)).strategy.rounds == 2


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        (TEMPLATE, "Make it harder.", "placeholder {instruction} is missing"),
        (
            TEMPLATE,
            "{instruction} {instructoin}",
            "unknown placeholder {instructoin}; did you mean {instruction}? (allowed: {input}, {instruction})",
        ),
        (
            "evol_instruct/deepn.txt",
            "{instruction}",
            f"no template is named evol_instruct/deepn; did you mean evol_instruct/deepen.txt? (known: {KNOWN})",
        ),
        ("elimination/equal.txt", "{instruction}", "placeholder {parent} is missing"),
    ],
)
def test_a_template_that_does_not_fit_is_told(tmp_path: Path, name: str, text: str, problem: str) -> None:
    strategy = with_template(tmp_path, text, name)
    assert told(tmp_path, strategy=strategy) == f"strategy: {tmp_path / 'templates' / name}: {problem}"


def test_a_template_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "templates"
    message = told(tmp_path, strategy={"templates": str(missing)})
    assert message == f"strategy: {missing}: expected a folder of templates, found none"
    wrong = told(tmp_path, strategy={"templates": {"evol_instruct/depen": "{instruction}"}})
    assert wrong.startswith("strategy: templates.evol_instruct/depen: no template is named")


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    message = told(tmp_path, evolvers={"a": vllm(tmp_path)})
    assert message == (
        f"evolvers.a.engine.model: {tmp_path} is a folder without config.json, expected a Hugging Face model folder"
    )
    assert told(tmp_path, responder=vllm(tmp_path)).startswith("responder.engine.model: ")
    assert told(tmp_path, scorer={"model": str(tmp_path)}).startswith("scorer.model: ")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (None, "there is no folder ./none; expected a model folder"),
        ('{"architectures": ["LlamaForCausalLM"]}', "expected a sequence classification model, FOLDER holds LlamaForC"),
        ("{}", "expected a sequence classification model, FOLDER holds one that names no architecture"),
        (
            '{"architectures": ["BertForSequenceClassification"]}',
            "expected a reward model with one label, FOLDER has 2",
        ),
        (
            '{"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}',
            "expected a reward model with one label, FOLDER has 3",
        ),
        ("{", "config.json is not JSON"),
    ],
)
def test_a_model_that_gives_no_reward_is_told(tmp_path: Path, settings: str | None, problem: str) -> None:
    scorer, reward = tmp_path / "scorer", tmp_path / "reward"
    for folder, text in ((scorer, "{}"), (reward, settings or "")):
        folder.mkdir()
        (folder / "config.json").write_text(text)
    model = str(reward) if settings else "./none"
    message = told(tmp_path, scorer={"model": str(scorer), "reward": {"model": model}})
    assert message.startswith("scorer.reward.model: ")
    assert problem.replace("FOLDER", str(reward)) in message


@pytest.mark.parametrize("model", ["/no/such", "./model", "~/model", "gpt2", "a/b/c"])
def test_a_folder_that_is_not_there_is_told(tmp_path: Path, model: str) -> None:
    assert told(tmp_path, responder=vllm(model)) == (
        f"responder.engine.model: there is no folder {model}; expected a model folder or a hub id such as ORG/NAME"
    )


@pytest.mark.slow
def test_a_hub_id_passes_online_and_is_looked_up_offline(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", ["Count."])
    config = tmp_path / "run.json"
    config.write_text(run_config(tmp_path, scorer={"model": "nobody/no-model"}).model_dump_json())
    results = [
        subprocess.run(
            [sys.executable, "-m", "ray_jobs.cli", "validate", str(config)],
            env={**os.environ, "HF_HUB_OFFLINE": offline, "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        for offline in ("0", "1")
    ]
    assert (results[0].returncode, results[0].stdout.splitlines()[-1]) == (0, f"{config}: valid")
    assert "nobody/no-model: not checked" in results[0].stdout
    assert (results[1].returncode, results[1].stderr) == (
        2,
        "error: scorer.model: nobody/no-model is not in the local hub cache, and HF_HUB_OFFLINE forbids fetching it\n",
    )


def test_a_model_folder_goes_to_workers_by_its_full_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    engine = run_config(tmp_path, evolvers={"a": vllm("model")}).evolvers["a"].engine
    assert absolute(engine).model == str(tmp_path / "model")
    scorer = run_config(tmp_path, scorer={"model": "model", "reward": {"model": "model"}}).scorer
    assert isinstance(scorer, ModelScorerConfig)
    moved = absolute(scorer)
    assert moved.model == moved.reward.model == str(tmp_path / "model")
    hub = run_config(tmp_path, evolvers={"a": vllm("org/model")}).evolvers["a"].engine
    assert absolute(hub) == hub


def test_seeds_and_output_must_be_reachable(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match=r"seeds\.jsonl"):
        check_places(SynthesisJob(run_config(tmp_path)))
    write_seeds(tmp_path / "seeds.jsonl", ["Count."])
    check_places(SynthesisJob(run_config(tmp_path)))
    with pytest.raises(OutputError, match=r"expected an empty or a new place.*seeds\.jsonl"):
        check_places(SynthesisJob(run_config(tmp_path, output=str(tmp_path))))
    unreachable = {"endpoint_url": "http://127.0.0.1:9", "key": "k", "secret": "s",
                   "config_kwargs": {"retries": {"total_max_attempts": 1}}}  # fmt: skip
    with pytest.raises(StorageError, match="the store does not answer"):
        check_places(SynthesisJob(run_config(tmp_path, output="s3://bucket/run", storage=unreachable)))


def test_the_configuration_of_the_example_is_right() -> None:
    root = Path(__file__).parents[3]
    from ray_jobs.jobs.load import load_config

    run = load_config(root / "examples" / "quickstart.yaml")
    assert json.loads(run.model_dump_json())["strategy"]["rounds"] == 2


def test_the_response_template_is_read_and_checked_with_the_others(tmp_path: Path) -> None:
    paper = {"kind": "evolver", "prompt": "paper"}
    assert check(run_config(tmp_path)).response == BARE
    assert "comprehensive" in check(run_config(tmp_path, responder=paper)).response.text
    broken = with_template(tmp_path, "Do it.", "respond/paper.txt")
    assert "respond/paper.txt: placeholder {instruction} is missing" in told(tmp_path, responder=paper, strategy=broken)


def test_an_argument_that_the_chat_template_does_not_read_is_refused_before_a_model_loads(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    engine = vllm(str(model))
    engine["engine"]["template_arguments"] = {"enable_thinkin": False}
    message = told(tmp_path, evolvers={"a": engine})
    assert "evolvers.a.engine.template_arguments" in message
    assert "no chat template" in message
    (model / "chat_template.jinja").write_text("{{ messages }}{% if enable_thinking %}<think>{% endif %}")
    message = told(tmp_path, evolvers={"a": engine})
    assert "evolvers.a.engine.template_arguments.enable_thinkin" in message
    assert "did you mean enable_thinking?" in message
    engine["engine"]["template_arguments"] = {"enable_thinking": False}
    check(run_config(tmp_path, evolvers={"a": engine}))


def test_a_reward_models_own_code_is_asked_for_by_name(tmp_path: Path) -> None:
    own = {"architectures": ["OwnReward"], "auto_map": {"AutoModelForSequenceClassification": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(own))
    check_reward_model("reward", RewardConfig(model=str(tmp_path), trust_remote_code=True))
    with pytest.raises(ConfigError, match=r"reward\.trust_remote_code: true"):
        check_reward_model("reward", RewardConfig(model=str(tmp_path)))
    (tmp_path / "config.json").write_text(json.dumps(own | {"auto_map": {"AutoModel": "own.Own"}}))
    with pytest.raises(ConfigError, match="offers no AutoModelForSequenceClassification"):
        check_reward_model("reward", RewardConfig(model=str(tmp_path), trust_remote_code=True))
