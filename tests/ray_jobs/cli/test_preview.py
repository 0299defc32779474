"""`evolve preview`: what a run would make of a few seeds, told and not written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.cli.app import main
from tests.ray_jobs.service.served import served
from tests.ray_jobs.service.warm import RAW, TOKEN, Warm


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where one stands: beside a configuration and its seeds."""
    seeds = "".join(json.dumps({"instruction": f"Name {number} rivers."}) + "\n" for number in range(20))
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "seeds.jsonl").write_text(seeds)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RAW))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def preview(*more: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["preview", "run.yaml", *more])
    return int(left.value.code or 0)


def document(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert preview("--json", *more) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_ten_seeds_are_shown_with_all_that_becomes_of_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(folder)
    assert preview() == 0
    shown = capsys.readouterr()
    for word in (
        "Name 0 rivers.",
        "Name 9 rivers.",
        "small",
        "large",
        "round 1",
        "response",
        "IC-IFD",
        "small: 10 kept",
    ):
        assert word in shown.out
    assert "Name 10 rivers." not in shown.out
    assert "loading evolve_small" in shown.err
    assert files(folder) == before


def test_what_is_rejected_is_shown_with_its_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # an engine that refuses its prompts, and responses that run into their token limit
    wrong = ["--set", "evolvers.small.engine.testing={refuse_share: 1}", "--set", "responder.sampling.max_tokens=3"]
    assert preview("--rows", "2", *wrong) == 0
    shown = capsys.readouterr().out
    assert "failed: PromptRefused" in shown
    assert "rejected" in shown
    told = document(capsys, "--rows", "2", *wrong)
    [small, large] = told["seeds"][0]["results"]
    assert (small["outcome"], large["outcome"]) == ("failed", "rejected")
    assert told["rounds"] == {
        "small": {"failed: PromptRefused": 2},
        "large": {"kept": 2, f"response rejected: {large['reason']}": 2},
    }


def test_seeds_may_be_of_another_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.jsonl").write_text('{"question": "Why is the sky blue?"}\n')
    [seed] = document(capsys, "--seed-file", "mine.jsonl")["seeds"]
    assert seed["instruction"] == "Why is the sky blue?"


def test_a_template_is_edited_and_tried(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = folder / "editor.py"
    editor.write_text("import sys; file = open(sys.argv[1], 'a'); file.write('\\nSay it in verse.')")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    monkeypatch.delenv("VISUAL", raising=False)
    assert preview("--rows", "1", "--edit", "evol_instruct/deepen") == 0
    shown = capsys.readouterr().out
    assert "round 1" in shown
    assert "strategy.templates=templates" in shown
    edited = (folder / "templates" / "evol_instruct" / "deepen.txt").read_text()
    assert edited.endswith("Say it in verse.")

    # a template that lacks its placeholder is told, and nothing tried
    editor.write_text("import sys; open(sys.argv[1], 'w').write('Do it.')")
    assert preview("--rows", "1", "--edit", "evol_instruct/deepen", "--set", "strategy.templates=templates") == 2
    assert "placeholder {instruction} is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--edit", "evol_instruct/deepn"], "evol_instruct/deepen"),
        (["--edit", "evol_instruct/deepen", "--set", "evolvers.small.pool.gpus=1"], "--service"),
        (
            ["--edit", "evol_instruct/deepen", "--set", "strategy.templates={evol_instruct/system: Be brief.}"],
            "strategy.templates",
        ),
        (["--service", "elsewhere"], "--service"),
        (["--set", "strategy.kind=autoif"], "strategy"),
    ],
)
def test_what_cannot_be_tried_is_told(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    words: str,
) -> None:
    monkeypatch.setenv("EDITOR", "true")
    assert preview(*more) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


@pytest.fixture
def service() -> Iterator[str]:
    """The URL of a service."""
    with served(Warm().app) as url:
        yield url


def test_a_service_gives_its_warm_engines(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    monkeypatch.delenv("EVOLVE_TOKEN", raising=False)
    assert preview("--service", service) == 2
    assert "EVOLVE_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("EVOLVE_TOKEN", "x" * 20)
    assert preview("--service", service) == 2
    assert "x" * 20 not in (told := capsys.readouterr().err)
    assert "token" in told

    monkeypatch.setenv("EVOLVE_TOKEN", TOKEN)
    there = document(capsys, "--service", service, "--rows", "3")
    here = document(capsys, "--rows", "3")
    texts = [[[item["instruction"] for item in seed["results"]] for seed in found["seeds"]] for found in (there, here)]
    assert texts[0] == texts[1]

    (folder / "mine" / "evol_instruct").mkdir(parents=True)
    (folder / "mine" / "evol_instruct" / "deepen.txt").write_text("Rework: {instruction}")
    changed = document(capsys, "--service", service, "--rows", "3", "--set", "strategy.templates=mine")
    assert changed["seeds"] != there["seeds"]
    assert preview("--service", service, "--set", "evolvers.none={engine: {kind: scripted}}") == 2
    assert "evolvers" in capsys.readouterr().err


def test_a_service_that_is_away_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOLVE_TOKEN", TOKEN)
    assert preview("--service", "http://127.0.0.1:9") == 7
    assert "no service answers" in capsys.readouterr().err
