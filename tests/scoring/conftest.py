"""Models to score with, tiny and real, and real rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import save_model

from scoring import Pair


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> None:
    """Tiny models gain nothing from more, and lose much where cores are busy."""
    # torch takes seconds to load, and quick tests do without
    if request.node.get_closest_marker("slow") or request.node.get_closest_marker("engine"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """tiny(family, bos): the folder of a tiny model, made once."""
    made: dict[tuple[str, bool], Path] = {}

    def folder(family: str, bos: bool = True) -> Path:
        key = family, bos
        if key not in made:
            path = tmp_path_factory.mktemp(family) / "model"
            made[key] = save_model(path, family, bos)
        return made[key]

    return folder


@pytest.fixture
def alpaca(shared: Path) -> list[Pair]:
    """The rows of the real Alpaca sample."""
    return [Pair(**row) for row in json.loads((shared / "data/alpaca_en_demo.json").read_text())]
