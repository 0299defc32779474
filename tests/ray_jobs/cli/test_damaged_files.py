"""Each file of an output damaged, under each command: the file is named under a documented code, or is not needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from evolve.records import Completion
from evolve.replies import Reply
from ray_jobs.cli.app import main
from ray_jobs.output import accept, ownership
from ray_jobs.output.lease import EPOCHS
from ray_jobs.output.replies import encode_reply, write_replies
from ray_jobs.output.run_files import Session, note_end
from ray_jobs.storage.store import open_store
from tests.ray_jobs.takeover.work import driver, job

OUTPUTS = Path(__file__).parents[2] / "fixtures" / "outputs"
FIGURES = {"rows": 4, "seconds": 1.0, "prompt_tokens": 4, "completion_tokens": 4, "actor_starts": 1}
CODES = {0, 3, 4, 5, 10}
READS = [
    ["status", "OUT"],
    ["status", "OUT", "--json"],
    ["show", "OUT"],
    ["verify", "OUT"],
    ["wait", "OUT"],
    ["select", "OUT", "FOLDER/selected", "--by", "ic_ifd", "--top", "1"],
    ["export", "OUT", "FOLDER/exported", "--format", "alpaca"],
]
WRITES = [
    ["report", "OUT"],
    ["analyse", "OUT", "trajectories"],
    ["run", "FOLDER/run.yaml"],
    ["retry-failed", "OUT"],
    ["repair", "OUT"],
]
GARBAGE, OTHER = b"\xff\xfe{]\x00", b'{"pools": 3, "configuration": [1], "files": 1}'
LEASE = "epochs/*.lease"
NOTES = ("sessions/000001-end.json", "_SUCCESS", "replies/evolve_a/*")
"""What no command reads to its harm: it tells that somebody was there, or saves time."""
FILES = (
    *("run.json", "report.json", "_slm_evolve.json", "plan/a/*.parquet", "data/*", "rejected/*", "epochs/*.seal"),
    *("entries/*/part-*", "entries/*/swap-*", "entries/*/plan-*1.json", "entries/*/settings.json"),
    *("sessions/000001.json", LEASE),
)
PLAIN = ("run.json", "report.json", "_slm_evolve.json", "sessions/000001.json")
"""JSON without a checksum of its own, which may hold something else."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished output in `out`, which no engine has made, and the configuration of its run."""
    folder = tmp_path_factory.mktemp("whole")
    of, store = job(folder, 4), open_store(str(folder / "out"))
    ownership.claim(store, of.holds)
    driver(of)(store)
    store.write_bytes(EPOCHS.beat_path(1), b"released")
    Session(1, "2026-01-01T00:00:00", 1.0, 4, {"evolve_a": FIGURES}).save(store)
    note_end(store, 1, "stopped on request")
    encoded = encode_reply(Reply(1, "aa", Completion("Nile", "stop", 5, 3)))
    assert encoded
    tag = accept.load(store).tag
    assert tag
    write_replies(store, tag, "evolve_a", "run", [encoded])
    settings = of.config.model_dump(mode="json", exclude_unset=True) | {"output": "out"}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder


def one_of(whole: Path, pattern: str) -> Path:
    """The first file of the output that the pattern fits."""
    return min((whole / "out").glob(pattern)).relative_to(whole)


def evolve(command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it says."""
    places = [part.replace("FOLDER", str(folder)).replace("OUT", "out") for part in command]
    with pytest.raises(SystemExit) as left:
        main(places)
    told = capsys.readouterr()
    return int(left.value.code or 0), f"{told.out}{told.err}"


def check(command: list[str], folder: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = evolve(command, folder, capsys)
    assert "Traceback" not in told
    assert code in CODES, f"{command}: {code}: {told}"
    assert not code or Path(path).name in told, f"{command}: {told}"
    if command[0] == "verify":
        assert code == (0 if Path(path).match(LEASE) else 5), told


# a page is drawn for most
@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "content"), [*((file, GARBAGE) for file in FILES), *((file, OTHER) for file in PLAIN)]
)
def test_a_damaged_file_is_named_or_not_needed(
    whole: Path,
    pattern: str,
    content: bytes,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = one_of(whole, pattern)
    copy = tmp_path / "reads"
    for command in [*READS, *WRITES]:
        if command in WRITES:
            copy = tmp_path / command[0]
        if not copy.exists():
            shutil.copytree(whole, copy)
            (copy / path).write_bytes(content)
        monkeypatch.chdir(copy)
        check(command, copy, str(path), capsys)


@pytest.mark.slow
def test_an_output_is_sound_whatever_its_notes_say(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    for note in NOTES:
        (tmp_path / "copy" / one_of(whole, note)).write_bytes(GARBAGE)
    monkeypatch.chdir(tmp_path / "copy")
    for command in [*READS, *WRITES]:
        code, told = evolve(command, tmp_path / "copy", capsys)
        assert code == 0, f"{command}: {told}"


def test_the_undamaged_output_is_sound(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for command in [*READS, *WRITES[1:]]:
        code, told = evolve(command, tmp_path / "copy", capsys)
        assert code == 0, f"{command}: {told}"


@pytest.mark.parametrize("content", [GARBAGE, b"{}", b'{"failure_rates": 3, "funnel": [1]}'])
@pytest.mark.parametrize(
    ("output", "path"),
    [
        ("search/out", "report.json"),
        ("search/out", "search.json"),
        ("autoif/stopped", "augment/report.json"),
        ("autoif/stopped", "augment/run.json"),
    ],
)
def test_a_damaged_file_of_a_search_or_a_phase_is_named(
    output: str, path: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(OUTPUTS / output, tmp_path / "out")
    (tmp_path / "out" / path).write_bytes(content)
    for name in ("status", "show"):
        code, told = evolve([name, str(tmp_path / "out")], tmp_path, capsys)
        assert code in CODES
        assert not code or Path(path).name in told or "no committed row" in told, told
