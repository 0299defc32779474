"""Outputs that a later version made, as far as docs/versions.md says what this one does with them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from ray_jobs.cli.app import main
from ray_jobs.datasets.opened import open_output
from ray_jobs.output.file_names import RUN
from ray_jobs.output.ownership import MARK, claim
from ray_jobs.output.schema import RECORD_SCHEMA
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import record, write_output


@pytest.fixture
def later(tmp_path: Path) -> Store:
    """An output of this version, which a test makes one of a later one."""
    return written(tmp_path)


def written(folder: Path, schema: pa.Schema = RECORD_SCHEMA) -> Store:
    store = open_store(str(folder / "out"))
    claim(store, "run")
    write_output(store, [[record(number, round=1) for number in range(4)]], schema)
    run = {"format": 2, "job": "synthesis", "records_per_row": 1, "result_settings": {}, "configuration": {}}
    store.write_bytes(RUN, json.dumps({**json.loads(store.read_bytes(RUN)), **run, "versions": {}}).encode())
    return store


def evolve(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(left.value.code or 0), said.err


def test_columns_that_it_does_not_know_are_read_past(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "out"))
    write_output(
        store, [[record(number) for number in range(4)]], RECORD_SCHEMA.append(pa.field("charm", pa.float64()))
    )
    for command in (["status"], ["show"]):
        assert evolve(capsys, command[0], store.url)[0] == 0, command
    assert len(list(open_output(store.url).records(["instruction", "output"]))) == 4
    assert evolve(capsys, "export", store.url, str(tmp_path / "sft"), "--format", "alpaca")[0] == 0


def test_a_mark_of_a_later_form_keeps_whoever_would_write_off(
    later: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = json.loads(later.read_bytes(MARK))
    later.write_bytes(MARK, json.dumps(mark | {"format": mark["format"] + 1}).encode())
    run = {
        "output": later.url,
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "evolvers": {"a": {"engine": {"kind": "scripted"}}},
        "responder": {"kind": "evolver"},
    }
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Count."}\n')
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    for command in (
        ["run", str(tmp_path / "run.yaml")],
        ["status", later.url],
        ["show", later.url],
        ["verify", later.url],
    ):
        code, said = evolve(capsys, *command)
        assert (code, "later version" in said) == (5, True), command


def test_settings_of_a_later_form_are_refused_by_their_number(later: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stored = json.loads(later.read_bytes(RUN))
    later.write_bytes(RUN, json.dumps(stored | {"format": 3}).encode())
    code, said = evolve(capsys, "retry-failed", later.url)
    assert (code, "has the format 3" in said) == (5, True)


def test_a_setting_that_it_does_not_know_is_named(later: Store, capsys: pytest.CaptureFixture[str]) -> None:
    stored = json.loads(later.read_bytes(RUN))
    stored["configuration"] = {"charm": 1}
    later.write_bytes(RUN, json.dumps(stored).encode())
    code, said = evolve(capsys, "retry-failed", later.url)
    assert (code, "charm" in said) == (5, True)
