"""What an adapter's files say before anything is loaded, and a real engine under several of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolve.engines.adapters import read_adapter
from evolve.errors import SettingError
from tests.evolve.engines.adapter_files import by_hand, by_peft, write_adapter
from tests.evolve.engines.test_real_engines import ENVIRONMENT

SCRIPT = """
import asyncio, json, sys
from dataclasses import replace
from evolve.engines.vllm_engine import VllmEngine
from evolve.records import Prompt, Sampling

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)
TASKS = ["What is the capital of France?", "Name three colours."]

async def main():
    base, merged, first, second = sys.argv[1:]
    arguments = {"dtype": "float32", "enforce_eager": True, "max_model_len": 128, "max_num_seqs": 8}
    told = {}
    for model, adapters, asked in ((merged, [None], [None]), (base, [first, [second]], [None, second, ""])):
        engine = VllmEngine(model, arguments, None, "auto", None, "keep", *adapters)
        prompts = [replace(Prompt.user(task, GREEDY, 1), adapter=name) for name in asked for task in TASKS]
        done = await asyncio.gather(*map(engine.generate, prompts))
        await engine.close()
        told[model] = [item.text for item in done]
    print(json.dumps([told[merged], told[base]]))

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    shape = {"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30, "vocab_size": 49152}
    (folder / "config.json").write_text(json.dumps(shape))
    return folder


def test_an_adapter_of_the_base_is_read(tmp_path: Path, base: Path) -> None:
    found = read_adapter(str(write_adapter(tmp_path / "a", "somewhere/else")), str(base))
    assert (found.base, found.rank, found.room) == ("somewhere/else", 4, 8)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 64}, ["another base", "64", "576"]),
        ({"peft_type": "IA3"}, ["LoRA", "IA3"]),
        ({"r": 1000}, ["rank", "512", "1000"]),
        ({"use_dora": True}, ["use_dora"]),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, base: Path, settings: dict[str, Any], words: list[str]) -> None:
    adapter = write_adapter(tmp_path / "a", "org/base", **settings)
    with pytest.raises(SettingError) as told:
        read_adapter(str(adapter), str(base))
    assert all(word in str(told.value) for word in ["adapter:", *words])


def test_an_adapter_of_another_model_of_the_hub_is_told(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", "org/one")
    with pytest.raises(SettingError, match=r"org/one.*org/two"):
        read_adapter(str(adapter), "org/two")


def test_a_folder_without_an_adapter_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="adapter_config"):
        read_adapter(str(tmp_path), "org/one")


@pytest.mark.engine
@pytest.mark.timeout(900)
@pytest.mark.parametrize("made", [by_hand, by_peft])
def test_an_adapter_gives_the_text_of_merged_weights_beside_others(
    tmp_path: Path, smollm2_dir: Path, made: Callable[[Path, Path], tuple[Path, Path, Path]]
) -> None:
    merged, first, second = made(smollm2_dir, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, (smollm2_dir, merged, first, second))],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    of_merged, of_base = json.loads(done.stdout.splitlines()[-1])
    assert of_base[:2] == of_merged
    assert len({*of_base[::2]}) == 3
