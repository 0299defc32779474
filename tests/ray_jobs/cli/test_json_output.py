"""--json: one document on standard output, and the exit code of the plain command."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ray_jobs import open_output
from ray_jobs.cli.app import main
from ray_jobs.cli.json_output import print_json, told_error
from ray_jobs.errors import ConfigError

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "outputs"


def evolve(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--json", *(["-"] if arguments[0] == "plan" else [])])
    return int(left.value.code or 0), json.loads(capsys.readouterr().out)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was begun by an earlier version."""
    return Path(shutil.copytree(OUTPUTS / "evol_instruct" / "out", tmp_path / "run"))


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """A finished search."""
    return Path(shutil.copytree(OUTPUTS / "search" / "out", tmp_path / "search"))


def test_status_and_verify_tell_the_same_rows(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    code, state = evolve(capsys, "status", str(run))
    assert code == 0
    phase = state["phases"][""]
    assert phase["seeds"]["usable"] > 0
    code, found = evolve(capsys, "verify", str(run))
    assert found["phases"][""]["rows"] == phase["rows"]["planned"]
    assert found["phases"][""]["done"] == phase["rows"]["done"]
    assert found["sound"] is (code == 0)


def test_a_search_tells_its_state(capsys: pytest.CaptureFixture[str], search: Path) -> None:
    code, document = evolve(capsys, "status", str(search))
    state = document["search"]
    assert (code, state["finished"], state["running"]) == (0, True, False)
    assert state["steps"] == 3
    assert state["failure_rates"] == [0.5, 0.125]


def test_a_search_is_described_and_its_method_shown(capsys: pytest.CaptureFixture[str], search: Path) -> None:
    with pytest.raises(SystemExit):
        main(["status", str(search)])
    said = capsys.readouterr().out
    assert said.startswith("finished a search")
    assert "step 0: the initial method" in said
    with pytest.raises(SystemExit):
        main(["show", str(search)])
    said = capsys.readouterr().out
    assert "failure rates" in said
    assert "{instruction}" in said


def test_show_gives_the_records_of_rows(capsys: pytest.CaptureFixture[str], run: Path, search: Path) -> None:
    code, document = evolve(capsys, "show", str(run), "--rows", "2")
    assert code == 0
    assert len(document["rows"]) == 2
    for row in document["rows"]:
        assert len({record["row_id"] for record in row["records"]}) == 1
        assert {"seed_instruction", "instruction", "round", "evolver"} <= row["records"][0].keys()
    code, document = evolve(capsys, "show", str(search))
    assert "{instruction}" in document["method"]["text"]


def test_show_gives_one_kept_record_whole(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    code, document = evolve(capsys, "show", str(run), "--record")
    record = document["record"]
    assert (code, record["round"]) == (0, max(found["round"] for found in open_output(str(run)).records(["round"])))
    with pytest.raises(SystemExit):
        main(["show", str(run), "--record", "--evolver", record["evolver"]])
    assert re.search(rf"record_id +{record['record_id']} ", capsys.readouterr().out)
    code, document = evolve(capsys, "show", str(run), "--record", "--evolver", "nobody")
    assert (code, document["error"]["message"].rpartition(": ")[2]) == (5, "no kept record of evolver nobody to show")


def test_select_and_export_tell_what_they_wrote(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    best, sft = tmp_path / "best", tmp_path / "sft"
    code, selected = evolve(capsys, "select", str(run), str(best), "--by", "ic_ifd", "--top", "1")
    assert (code, selected["target"], selected["counts"]["kept"]) == (0, str(best), 1)
    written = json.loads((best / "selection.json").read_text())
    assert written == {"written_at": written["written_at"], **{k: v for k, v in selected.items() if k != "target"}}
    code, exported = evolve(capsys, "export", str(best), str(sft), "--format", "alpaca")
    assert (code, exported["target"], exported["counts"]["train"]) == (0, str(sft), 1)


def test_init_tells_how_it_reads_the_seeds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"question": "Name a river."}\n')
    config = tmp_path / "run.yaml"
    where = ["--from", str(tmp_path / "seeds.jsonl"), "--to", str(config)]
    code, document = evolve(capsys, "init", *where, "--model", "a/b")
    assert (code, document["config"], document["models"]) == (0, str(config), ["a/b"])
    assert document["columns"] == {"instruction": "question"}
    assert document["samples"] == [{"instruction": "Name a river.", "input": ""}]


ABSENT = "OUT/none"


@pytest.mark.parametrize(
    ("command", "kind", "code", "field"),
    [
        (["status", ABSENT], "OutputError", 5, None),
        (["verify", ABSENT], "OutputError", 5, None),
        (["show", ABSENT], "OutputError", 5, None),
        (["show", "OUT/run", "--storage", "[a]"], "ConfigError", 2, "--storage"),
        (["select", ABSENT, "OUT/new", "--random", "1"], "OutputError", 5, None),
        (["select", "OUT/run", "OUT/new", "--by", "beauty", "--top", "1"], "ConfigError", 2, "--by"),
        (["export", "OUT/run", "OUT/new", "--format", "alpac"], "ConfigError", 2, "--format"),
        (["report", "OUT/run", "--baseline", "nobody"], "ConfigError", 2, "--baseline"),
        (["validate", "OUT/absent.yaml"], "ConfigError", 2, None),
        (["validate", "OUT/wrong.yaml"], "ConfigError", 2, "output"),
        (["plan", "OUT/wrong.yaml"], "ConfigError", 2, "output"),
        (["init"], "ConfigError", 2, "--from"),
        (["submit", "OUT/wrong.yaml", "--address", "nowhere"], "ConfigError", 2, "--address"),
        (["submit", "OUT/wrong.yaml", "--address", "http://127.0.0.1:9"], "ClusterError", 7, None),
    ],
)
def test_an_error_is_a_document(
    capsys: pytest.CaptureFixture[str],
    run: Path,
    tmp_path: Path,
    command: list[str],
    kind: str,
    code: int,
    field: str | None,
) -> None:
    assert run.parent == tmp_path
    (tmp_path / "wrong.yaml").write_text("strategy: {kind: evol_instruct, rounds: none}\n")
    left, document = evolve(capsys, *(part.replace("OUT", str(tmp_path)) for part in command))
    error = document["error"]
    assert (left, error["exit_code"], error["kind"], error["field"]) == (code, code, kind, field)
    assert error["message"]
    assert document.keys() == {"error"}


def test_each_wrong_field_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("strategy: {kind: evol_instruct, rounds: none}\n")
    code, document = evolve(capsys, "validate", str(tmp_path / "run.yaml"))
    assert code == 2
    wrong = {item["field"]: item for item in document["error"]["fields"]}
    assert {"strategy.rounds", "output", "seeds"} <= wrong.keys()
    assert wrong["strategy.rounds"]["came"] == "'none'"
    assert "integer" in wrong["strategy.rounds"]["allowed"]


@pytest.mark.parametrize(
    ("message", "field", "came"),
    [
        ("--range 3: expected LOW:HIGH such as 0.2:0.9", "--range", "3"),
        ("--to: is missing", "--to", None),
        ("limits.planned_rows: expected at most 3 planned rows, got 4", "limits.planned_rows", "4"),
        ("the query is wrong\n  sort: expected one of a, b, got c", "sort", "c"),
        ("run.yaml: cannot be read: no such file", None, None),
        ("out/run.yaml: cannot be read", None, None),
        ("token x: there is none (known: none)", None, None),
        ("expected --top or --range, and not both", None, None),
    ],
)
def test_the_field_is_found_in_the_message(message: str, field: str | None, came: str | None) -> None:
    told = told_error(ConfigError(message))
    assert (told["field"], told["fields"][0]["came"] if told["fields"] else None) == (field, came)


def test_numbers_that_are_none_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"scores": [float("nan"), float("inf"), 0.5], "pair": (1, 2)})
    assert json.loads(capsys.readouterr().out) == {"scores": [None, None, 0.5], "pair": [1, 2]}


def test_what_cannot_be_one_document_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["submit", "run.yaml", "--address", "http://127.0.0.1:9", "--json", "--follow"])
    assert left.value.code == 2
    assert "--follow" in capsys.readouterr().err
