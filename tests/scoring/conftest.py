"""Models to score with, tiny and real, and real rows."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import FAMILIES, save_model

from scoring import Pair


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from more, and lose much where cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """tiny(family, bos): the folder of a tiny model, made once."""
    made: dict[tuple[str, bool], Path] = {}

    def folder(family: str, bos: bool = True) -> Path:
        if (family, bos) not in made:
            path = tmp_path_factory.mktemp(family) / "model"
            made[family, bos] = save_model(path, FAMILIES[family], bos)
        return made[family, bos]

    return folder


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """The real SmolLM2-135M-Instruct as a folder, from $EVOLVE_SMOLLM2 or the project's cache."""
    default = Path(__file__).parents[2] / ".cache/models/smollm2-135m-instruct"
    folder = Path(os.environ.get("EVOLVE_SMOLLM2", default))
    if not (folder / "config.json").is_file():
        pytest.skip(f"no SmolLM2-135M-Instruct at {folder}; EVOLVE_SMOLLM2 may name it")
    return folder


@pytest.fixture(scope="session")
def alpaca() -> list[Pair]:
    """The rows of the real Alpaca sample."""
    shared = Path(os.environ.get("EVOLVE_SHARED", Path(__file__).parents[3] / "shared"))
    if not shared.is_dir():
        pytest.skip(f"no shared inputs at {shared}; EVOLVE_SHARED may name them")
    return [Pair(**row) for row in json.loads((shared / "data/alpaca_en_demo.json").read_text())]
