"""What a program or a notebook gets from `ray_jobs`: its names, outputs as they are read, what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import ray_jobs
from ray_jobs import load_config, open_output, select
from ray_jobs.errors import ConfigError, OutputError
from tests.ray_jobs.samples import run_config

ROOT = Path(__file__).parents[2]
OUTPUTS = ROOT / "tests" / "fixtures" / "outputs"
READERS = """
import sys, ray_jobs
from ray_jobs import export, open_output, select
select("out", "best", by="ic_ifd", top=4, say=lambda line: None)
assert open_output("best").table(["ic_ifd"]).num_rows == 4
export("best", "sft", "alpaca")
assert "ray" not in sys.modules, "ray was imported"
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a finished run in `out` and a selection in `chosen`."""
    shutil.copytree(OUTPUTS / "evol_instruct" / "out", tmp_path / "out")
    shutil.copytree(OUTPUTS / "selection" / "out", tmp_path / "chosen")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(program: str, folder: Path) -> str:
    """What a program prints in a process of its own, which must succeed."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_reading_and_selecting_load_no_ray(work: Path) -> None:
    python(READERS, work)


def test_every_name_is_there_and_no_other() -> None:
    assert all(callable(getattr(ray_jobs, name)) for name in ray_jobs.__all__)
    assert set(ray_jobs.__all__) <= set(dir(ray_jobs))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ray_jobs.nonsense  # type: ignore[attr-defined]


def test_an_output_is_read_as_a_table_record_by_record_and_in_batches(work: Path) -> None:
    expected = pq.read_table(work / "out/data")
    output = open_output("out")
    assert output.schema == expected.schema
    assert output.table().sort_by("record_id") == expected.sort_by("record_id")
    assert output.table(["ifd", "round"]).column_names == ["ifd", "round"]
    assert [record["record_id"] for record in output.records()] == output.table()["record_id"].to_pylist()
    assert sum(batch.num_rows for batch in output.batches(["round"])) == expected.num_rows
    assert len(list(output.rejected(["reason"]))) == pq.read_table(work / "out/rejected").num_rows
    assert output.report["records"]["kept"] == expected.num_rows


def test_a_selection_is_read_too_and_has_no_report(work: Path) -> None:
    chosen = open_output("chosen")
    assert chosen.table(["record_id"]).num_rows == pq.read_table(work / "chosen/data").num_rows
    assert list(chosen.rejected()) == []
    with pytest.raises(OutputError, match="finished run"):
        _ = chosen.report


def test_what_is_not_there_is_named(work: Path) -> None:
    with pytest.raises(OutputError, match="expected the output of a run"):
        open_output("nowhere")
    with pytest.raises(ConfigError, match="lacks the columns nonsense"):
        open_output("out").batches(["nonsense"])
    with pytest.raises(ConfigError, match="lacks the columns nonsense"):
        open_output("out").table(["nonsense"])
    with pytest.raises(ConfigError, match="--by nonsense"):
        select("out", "best", by="nonsense", top=3)


def test_a_configuration_may_be_a_mapping(tmp_path: Path) -> None:
    settings = run_config(tmp_path).model_dump(mode="json")
    config = load_config(settings, ["strategy.rounds=2"], output="elsewhere")
    assert config.output == "elsewhere"
    assert config == load_config({**settings, "output": "elsewhere", "strategy": {"rounds": 2}})
    assert settings["strategy"]["rounds"] == 3
    with pytest.raises(ConfigError, match=r"the settings: .*\n  seeds: is missing"):
        load_config({"output": "out"})
