"""`evolve init`: how seeds are read is guessed, pools fit the cards, and what is written is a valid configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.cli.app import main
from ray_jobs.jobs.load import load_config

ROWS = {
    "columns": {"instruction": "Name a river.", "output": "Rhine"},
    "question": {"question": "Name a river.", "answer": "Rhine"},
    "messages": {"messages": [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "Rhine"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Name a river."}, {"from": "gpt", "value": "Rhine"}]},
}


def init(folder: Path, row: dict[str, Any], *more: str) -> int:
    """The exit code of the command on a file of five such rows."""
    seeds = folder / "mine.jsonl"
    seeds.write_text("".join(json.dumps(row | {"n": n}) + "\n" for n in range(5)))
    with pytest.raises(SystemExit) as left:
        main(["init", "--from", str(seeds), "--to", str(folder / "run.yaml"), *more])
    return int(left.value.code or 0)


@pytest.mark.parametrize("layout", ROWS)
def test_it_reads_the_seeds_however_they_are_laid_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    assert init(tmp_path, ROWS[layout], "--model", str(tmp_path)) == 0
    assert "Name a river." in capsys.readouterr().out
    load_config(tmp_path / "run.yaml")


@pytest.mark.parametrize("gpus", [1, 2, 3, 4, 8, 64])
def test_pools_take_no_more_than_the_cards(tmp_path: Path, gpus: int) -> None:
    assert init(tmp_path, ROWS["columns"], "--gpus", str(gpus), "--model", "a/small", "--model", "a/large") == 0
    raw = yaml.safe_load((tmp_path / "run.yaml").read_text())
    pools = [raw[name]["pool"] for name in ("responder", "scorer")] + [
        item["pool"] for item in raw["evolvers"].values()
    ]
    taken = sum(pool["size"] * pool["gpus"] for pool in pools)
    assert taken <= gpus
    assert gpus < 4 or taken == gpus


@pytest.mark.parametrize(
    ("row", "more", "code", "words"),
    [
        ({"colour": "red"}, ["--model", "a/b"], 3, "question"),
        (ROWS["columns"], ["--model", "a/b", "--model", "c/b"], 2, "--model"),
        (ROWS["columns"], ["--model", "a/b", "--to", __file__], 2, "exists"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], more: list[str], code: int, words: str
) -> None:
    assert init(tmp_path, row, *more) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run.yaml").exists()


def test_nobody_is_asked_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["init"])
    assert left.value.code == 2
    assert "--from" in capsys.readouterr().err


def test_the_demo_is_written_with_its_seeds_where_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], smollm2_dir: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    # what the command sets for its own process
    for name in ("HF_HUB_OFFLINE", "TQDM_DISABLE", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "")
    (tmp_path / "mine").mkdir()
    # they are made already, which takes half a minute
    (tmp_path / "mine" / "models").symlink_to(smollm2_dir.parent.resolve())

    def demo(*more: str) -> int:
        with pytest.raises(SystemExit) as left:
            main(["init", "--demo", "--to", "mine/run.yaml", *more])
        return int(left.value.code or 0)

    assert demo("--json") == 0
    assert json.loads(capsys.readouterr().out)["config"] == "mine/run.yaml"
    config = load_config("mine/run.yaml")
    assert (config.output, config.seeds.path) == ("mine/out", "mine/seeds.jsonl")
    assert (tmp_path / "mine" / "seeds.jsonl").read_text().count("instruction") > 12
    assert demo() == 2
    assert "exists" in capsys.readouterr().err
    assert demo("--gpus", "2") == 2
    assert "--gpus" in capsys.readouterr().err
