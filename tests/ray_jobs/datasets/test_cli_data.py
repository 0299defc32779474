"""The commands `evolve select` and `evolve export`, as users type them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from ray_jobs.cli.app import app
from ray_jobs.datasets import places
from ray_jobs.datasets.outcomes import Outcome
from ray_jobs.datasets.rule import Range, Rule, format_top, parse_range, parse_top
from ray_jobs.errors import ConfigError
from ray_jobs.storage.store import Store, open_store
from scoring.select import Top
from tests.ray_jobs.datasets.outputs import record, write_output


def evolve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "ray_jobs.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_select_and_export(output: Store, target: Store, tmp_path: Path) -> None:
    selected = evolve("select", output.url, target.url, "--by", "ic_ifd", "--top", "50%", "--per", "evolver,round")
    assert selected.returncode == 0, selected.stderr
    assert "30 kept" in selected.stdout
    assert "30 below_cut" in selected.stdout
    assert json.loads(target.read_bytes("selection.json"))["rule"]["top"] == "50%"
    sft = str(tmp_path / "sft")
    exported = evolve("export", target.url, sft, "--format", "messages", "--file", "parquet", "--validation", "40%")
    assert exported.returncode == 0, exported.stderr
    assert "train" in exported.stdout
    assert {path.name for path in Path(sft).iterdir()} == {
        "README.md",
        "_slm_evolve.json",
        "dataset_info.json",
        "export.json",
        "train",
        "validation",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "ic_ifd"], "expected --top or --range, and not both"),
        (["--by", "ic_ifd", "--top", "0"], "--top 0: expected a number of records such as 1000, or a share"),
        (["--by", "ic_ifd", "--top", "5", "--per", "seed"], "--per seed: expected some of evolver, round, operator"),
        (["--by", "length", "--top", "5"], "--by length: expected a score, one of"),
        (["--by", "ic_ifd", "--top", "5", "--decontaminate", "nowhere"], "expected a folder with files of"),
    ],
)
def test_wrong_use_is_told(output: Store, target: Store, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        app(["select", output.url, target.url, *arguments], standalone_mode=False)
    assert target.list() == []


@pytest.mark.parametrize("share", ["5", "100%", "-1%", "x%", "%", "", "1/0%"])
def test_wrong_shares_are_told(output: Store, target: Store, share: str) -> None:
    with pytest.raises(ConfigError, match="expected a share from 0% to below 100%"):
        app(["export", output.url, target.url, "--format", "alpaca", f"--validation={share}"], standalone_mode=False)


def test_an_output_that_is_none_exits_with_5(tmp_path: Path, target: Store) -> None:
    done = evolve("export", str(tmp_path / "none"), target.url, "--format", "alpaca")
    assert done.returncode == 5
    assert "error: " in done.stderr
    assert "expected the output of a run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "top"), [("25%", Fraction(1, 4)), ("0.1%", Fraction(1, 1000)), ("100%", Fraction(1)), ("1000", 1000)]
)
def test_tops_are_exact(text: str, top: Top) -> None:
    assert parse_top(text) == top
    assert parse_top(str(format_top(top))) == top


@pytest.mark.parametrize("text", ["", "%", "0%", "101%", "-5", "0", "2.5", "1/0%", "all", "nan%"])
def test_other_tops_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a number of records such as 1000, or a share"):
        parse_top(text)


@pytest.mark.parametrize(
    ("text", "bounds"), [("0.2:0.9", (0.2, 0.9)), ("0.2:", (0.2, None)), (":-1", (None, -1.0)), ("1:1", (1.0, 1.0))]
)
def test_ranges_may_be_open(text: str, bounds: Range) -> None:
    assert parse_range(text) == bounds


@pytest.mark.parametrize("text", ["", ":", "1", "2:1", "a:b", "nan:1", "1:2:3"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected LOW:HIGH such as"):
        parse_range(text)


def test_a_rule_takes_a_top_or_a_range() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Rule("ifd", top=1, range=(0.0, 1.0))


def test_cut_answers_are_left_out_of_selections_and_exports(target: Store, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "cut"))
    endings = ["length", "stop", None, "length"]
    write_output(store, [[record(n, respond_finish_reason=ending) for n, ending in enumerate(endings)]])
    chosen = places.select(store.url, target.url, by="ic_ifd", top="100%", drop_cut=True, say=lambda line: None)
    assert (chosen.totals[Outcome.KEPT], chosen.totals[Outcome.CUT_ANSWER]) == (2, 2)
    assert json.loads(target.read_bytes("selection.json"))["rule"]["drop_cut"] is True
    exported = places.export(store.url, str(tmp_path / "sft"), "alpaca", drop_cut=True)
    assert (exported.sides["train"].records, exported.cut) == (2, 2)
    assert json.loads((tmp_path / "sft" / "export.json").read_text())["counts"]["cut"] == 2
