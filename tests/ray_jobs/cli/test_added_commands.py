"""Commands and export formats of installed packages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ray_jobs.cli.app import main
from tests.ray_jobs.config.installed import install

OUTPUT = Path(__file__).parents[2] / "fixtures" / "outputs" / "evol_instruct" / "out"
CODE = '''
import pyarrow as pa
import typer
from ray_jobs.datasets.formats import Format
from ray_jobs.errors import ConfigError

def greet(name: str, loud: bool = False) -> None:
    """Greet somebody."""
    if name == "nobody":
        raise ConfigError("name: expected somebody")
    typer.echo(f"hello {name.upper() if loud else name}")

group = typer.Typer(help="Two in one.")

@group.command()
def first() -> None:
    typer.echo("the first")

@group.command()
def second() -> None:
    typer.echo("the second")

LINES = Format(
    "lines", ("record_id", "output"), pa.schema([("record_id", pa.string()), ("line", pa.string())]),
    lambda row: [{"record_id": row["record_id"], "line": row["output"].splitlines()[0]}], {"formatting": "alpaca"},
)
'''


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "greet": "plug_cli:greet",
        "both": "plug_cli:group",
        "broken": "plug_broken:run",
        "verify": "plug_cli:greet",
    }
    install(tmp_path, "plug_cli", CODE, commands=names, exports={"lines": "plug_cli:LINES", "wrong": "plug_cli:greet"})
    (tmp_path / "plug_broken.py").write_text("raise OSError('no licence')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def evolve(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.mark.usefixtures("commands")
def test_they_are_called_as_shipped_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert not evolve("greet", "you", "--loud")
    assert not evolve("both", "second")
    assert capsys.readouterr().out == "hello YOU\nthe second\n"
    assert evolve("greet", "nobody") == 2
    assert capsys.readouterr().err == "error: name: expected somebody\n"
    assert evolve("greet") == 2


@pytest.mark.usefixtures("commands")
def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert not evolve("--help")
    told = capsys.readouterr().out
    assert "Greet somebody." in told
    assert "Cannot be used" in told


@pytest.mark.usefixtures("commands")
def test_what_raises_is_named_and_ends_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve("broken", "x", "--y", "3") == 2
    told = capsys.readouterr().err
    assert "commands broken of plug_cli" in told
    assert "no licence" in told
    assert "Traceback" not in told
    assert evolve("verify", str(OUTPUT)) == 2
    assert "verify" in capsys.readouterr().err
    assert not evolve("status", str(OUTPUT))


@pytest.mark.usefixtures("commands")
def test_a_format_is_exported_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(OUTPUT, tmp_path / "out")
    assert not evolve("export", str(tmp_path / "out"), str(tmp_path / "lines"), "--format", "lines")
    (line, *_) = (tmp_path / "lines" / "train" / "00000.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(json.loads(line)) == {"record_id", "line"}
    assert evolve("export", str(tmp_path / "out"), str(tmp_path / "no"), "--format", "wrong") == 2
    assert "exports wrong of plug_cli: expected a value of" in capsys.readouterr().err
    assert evolve("export", str(tmp_path / "out"), str(tmp_path / "no"), "--format", "line") == 2
    told = capsys.readouterr().err
    assert "expected one of 'alpaca'" in told
    assert "did you mean lines?" in told
    assert not (tmp_path / "no").exists()
