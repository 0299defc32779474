"""Recipes for training programs: the paper's settings, and what the programs themselves say to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.datasets import places
from ray_jobs.datasets.recipes import FILES, Training, parameters, recipes, student
from ray_jobs.errors import ConfigError

OUTPUT = str(Path(__file__).parents[2] / "fixtures" / "outputs" / "evol_instruct" / "out")
STUDENT = "Qwen/Qwen2.5-14B"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("meta-llama/Llama-3.1-8B", Training(6, 3, 2e-5)),
        ("models/student", Training(6, 3, 2e-5)),
        ("Qwen/Qwen2.5-0.5B", Training(7, 2, 1e-5)),
        ("Qwen/Qwen2.5-1.5B-Instruct", Training(7, 2, 1e-5)),
        ("Qwen/Qwen2.5-7B", Training(7, 2, 7e-6)),
        ("Qwen/Qwen2.5-72B", Training(7, 2, 5e-5, rank=8)),
    ],
)
def test_the_settings_are_the_papers(model: str, expected: Training) -> None:
    assert student(model, 1, "jsonl", False).training == expected


@pytest.mark.parametrize(
    ("model", "size"),
    [("SmolLM2-135M-Instruct", 135e6), ("a/Qwen2.5-3B/", 3e9), ("a/b", None), ("Qwen2.5-coder", None)],
)
def test_a_name_tells_a_models_size(model: str, size: float | None) -> None:
    assert parameters(model) == size


@pytest.mark.parametrize("cards", [1, 8, 64])
@pytest.mark.parametrize("format_", ["alpaca", "sharegpt", "messages"])
def test_every_recipe_has_the_papers_batch(format_: str, cards: int) -> None:
    found = {name: yaml.safe_load(text) for name, text in recipes(format_, student("m", cards, "jsonl", True)).items()}
    assert set(found) == set(FILES) - (set() if format_ == "messages" else {"recipe-trl.yaml"})
    for settings in found.values():
        each = settings.get("per_device_train_batch_size") or settings["micro_batch_size"]
        assert each * settings["gradient_accumulation_steps"] * cards == 64
        assert settings["learning_rate"] == 2e-5


def test_an_export_has_its_recipes_beside_it(tmp_path: Path) -> None:
    model = tmp_path / "student"
    model.mkdir()
    target = tmp_path / "sft"
    exported = places.export(OUTPUT, str(target), "messages", recipe=str(model), cards=2, say=str)
    assert sorted(exported.recipes) == sorted(FILES)
    for name in FILES:
        assert str(model) in (target / name).read_text()
    assert exported.to_json()["recipes"] == list(exported.recipes)


@pytest.mark.parametrize(
    ("format_", "cards", "told"), [("dpo", 1, "--recipe: .*alpaca"), ("alpaca", 7, "--cards 7: .*64")]
)
def test_what_there_is_no_recipe_for_is_told_before_anything_is_written(
    tmp_path: Path, format_: str, cards: int, told: str
) -> None:
    output = str(Path(OUTPUT).parents[1] / "autoif" / "out") if format_ == "dpo" else OUTPUT
    with pytest.raises(ConfigError, match=told):
        places.export(output, str(tmp_path / "sft"), format_, recipe=STUDENT, cards=cards, say=str)
    assert not (tmp_path / "sft").exists()


def test_cards_alone_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--cards 8: goes with --recipe"):
        places.export(OUTPUT, str(tmp_path / "sft"), "alpaca", cards=8, say=str)
    assert not (tmp_path / "sft").exists()


@pytest.fixture(params=["jsonl", "parquet"])
def exported(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export with turns and a student by LoRA, as the working directory."""
    target = tmp_path / "sft"
    places.export(OUTPUT, str(target), "messages", file=request.param, validation="20%", recipe=STUDENT, say=str)
    monkeypatch.chdir(target)
    return target


def test_trl_takes_its_recipe_and_the_data(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", reason="TRL is not installed")
    from trl import get_dataset
    from trl.scripts.sft import make_parser

    arguments = ["--config", "recipe-trl.yaml", "--use_cpu", "true"]
    _, training, model, mixture = make_parser().parse_args_and_config(arguments, fail_with_unknown_args=True)
    assert (training.num_train_epochs, training.learning_rate, training.max_length) == (2, 5e-5, 2048)
    assert (model.model_name_or_path, model.use_peft, model.lora_r) == (STUDENT, True, 8)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(exported / "cache"))
    assert [turn["role"] for turn in get_dataset(mixture)["train"][0]["messages"]] == ["user", "assistant"]


def test_llama_factory_takes_its_recipe(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # it wants an older transformers than ours, which matters to training alone
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    pytest.importorskip("llamafactory", reason="LLaMA-Factory is not installed")
    from llamafactory.hparams import get_train_args

    settings: dict[str, Any] = yaml.safe_load((exported / "recipe-llamafactory.yaml").read_text())
    model, data, training, tuning, _ = get_train_args({**settings, "use_cpu": True})
    assert (training.num_train_epochs, training.learning_rate, data.cutoff_len) == (2.0, 5e-5, 2048)
    assert (model.model_name_or_path, tuning.finetuning_type, tuning.lora_rank) == (STUDENT, "lora", 8)
    known = json.loads(Path(data.dataset_dir, "dataset_info.json").read_text())
    assert all(
        Path(data.dataset_dir, known[name]["file_name"]).is_dir() for name in [*data.dataset, *data.eval_dataset]
    )


def test_axolotl_takes_its_recipe(exported: Path) -> None:
    pytest.importorskip("axolotl", reason="Axolotl is not installed")
    from axolotl.utils.schemas.config import AxolotlInputConfig

    settings = yaml.safe_load((exported / "recipe-axolotl.yaml").read_text())
    found = AxolotlInputConfig(**settings)
    assert (found.num_epochs, found.learning_rate, found.sequence_len, found.lora_r) == (2, 5e-5, 2048, 8)
    assert set(settings) <= set(AxolotlInputConfig.model_fields)
