"""The demo's seeds and configuration, written to a folder of a person's own."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SEEDS = "seeds.jsonl"
MODELS = "models"
PLACE = "{place}"
"""Stands before each path of the configuration that lies beside it."""


def check_free(config: Path) -> None:
    """Raise FileExistsError where something is there that the demo would write."""
    for path in (config, config.parent / SEEDS):
        if path.exists():
            raise FileExistsError(path)


def write_demo(config: Path) -> None:
    """Write the configuration and, beside it, the seeds. Raises FileExistsError as `check_free` does, and OSError."""
    check_free(config)
    place = "" if config.parent == Path() else f"{config.parent.as_posix()}/"
    texts = {
        config.parent / SEEDS: (HERE / SEEDS).read_text(encoding="utf-8"),
        config: (HERE / "run.yaml").read_text(encoding="utf-8").replace(PLACE, place),
    }
    config.parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
