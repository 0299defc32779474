"""Which places are ours, and which files in them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.errors import DamagedOutput, OutputError
from ray_jobs.output.file_names import epoch_of
from ray_jobs.output.ownership import FIRST_RUN_FIELDS, MARK, Kind, claim, is_ours, kind_of, overlap, refuse_dangerous
from ray_jobs.storage.store import Store, open_store

RUN_JSON = json.dumps(dict.fromkeys(FIRST_RUN_FIELDS)).encode()
HEX = "0123456789abcdef01234567"


@pytest.fixture(params=["disk", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> Store:
    """A new place in each kind of store."""
    if request.param == "s3":
        return open_store(f"{s3_url}/out", s3_options)
    return open_store(str(tmp_path / "out") if request.param == "disk" else f"memory://{tmp_path.name}/out")


def test_a_new_place_gets_the_mark_and_keeps_it(place: Store) -> None:
    claim(place, "run")
    assert json.loads(place.read_bytes(MARK)) == {"made_by": "slm-evolve", "holds": "run", "format": 2}
    entry = place.entry(MARK)
    place.write_bytes("notes.txt", b"mine")
    claim(place, "run")
    assert place.entry(MARK) == entry
    with pytest.raises(OutputError, match="holds a run, expected an export"):
        claim(place, "export")


@pytest.mark.parametrize("kind", ["run", "search", "selection", "export", "analysis", "report"])
def test_a_place_of_somebody_else_is_refused_and_left_as_it_is(place: Store, kind: Kind) -> None:
    files = {f"{name}": b"theirs" for name in ("README.md", "data/raw.parquet", "index.html", "run.json", "z/y.txt")}
    for path, data in files.items():
        place.write_bytes(path, data)
    with pytest.raises(OutputError) as raised:
        claim(place, kind)
    assert raised.value.exit_code == 5
    assert place.url in str(raised.value)
    assert "README.md, data, index.html and 2 more" in str(raised.value)
    assert {path: place.read_bytes(path) for path, _ in place.list()} == files


def test_a_bucket_of_many_keys_costs_one_look(s3_url: str, s3_options: dict[str, Any]) -> None:
    place = open_store(s3_url, s3_options)
    for number in range(40):
        place.write_bytes(f"{number:03d}/key", b"")
    assert place.first_names(20) == [f"{number:03d}" for number in range(20)]
    with pytest.raises(OutputError, match="000, 001, 002 and 17 more"):
        claim(place, "run")


def test_what_a_console_or_a_new_disk_puts_there_is_nobodys(
    tmp_path: Path, s3_url: str, s3_options: dict[str, Any]
) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / f".{MARK}.{'0' * 32}.tmp").write_bytes(b"{")
    claim(open_store(str(tmp_path)), "run")
    bucket = open_store(s3_url, s3_options)
    bucket.write_bytes("out/", b"")
    claim(bucket.below("out"), "run")


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("run", {"run.json": RUN_JSON, "plan/index.json": b"{}", "data/x": b"", "notes.txt": b""}),
        ("run", {"run.json": RUN_JSON, "lease/000001.json": b"{}"}),
        ("run", {"augment/run.json": RUN_JSON, "augment/plan/index.json": b"{}"}),
        ("search", {"optimize.json": b'{"result_settings": {}, "configuration": {}, "versions": {}}'}),
        ("analysis", {"run.json": RUN_JSON, "plan/index.json": b"{}", "summary.json": b"[]"}),
        ("analysis", {"summary.json": b'[{"evolver": null, "round": 1}]', "data/00000.parquet": b"", "_SUCCESS": b""}),
        ("report", {"index.html": b'<meta name="pictures" content="ifd.png">', "ifd.png": b""}),
    ],
)
def test_what_the_version_before_began_is_ours(place: Store, kind: Kind, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        place.write_bytes(path, data)
    claim(place, kind)
    assert kind_of(place) == kind


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("run", {"run.json": RUN_JSON, "src/main.py": b""}),
        ("run", {"run.json": b'{"kind": "synthesis"}', "plan/index.json": b"{}"}),
        ("run", {"run.json": b"[1", "plan/index.json": b"{}"}),
        ("search", {"optimize.json": b"[]"}),
        ("analysis", {"summary.json": b'[{"round": 1}]'}),
        ("analysis", {"summary.json": b"[]", "mine.csv": b""}),
        ("report", {"index.html": b"<p>mine</p>", "a.png": b""}),
        ("report", {"index.html": b'<meta name="pictures" content="a.png">', "style.css": b""}),
        ("export", {"lease/000001.json": b"{}", "train/00000.jsonl": b""}),
    ],
)
def test_what_only_looks_like_ours_is_not(place: Store, kind: Kind, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        place.write_bytes(path, data)
    with pytest.raises(OutputError, match="expected an empty or a new place"):
        claim(place, kind)
    assert not place.exists(MARK)


@pytest.mark.parametrize(
    ("mark", "error", "words"),
    [
        (b"{", DamagedOutput, "got something else"),
        (b'{"made_by": "somebody", "holds": "run", "format": 2}', DamagedOutput, "got something else"),
        (b'{"made_by": "slm-evolve", "holds": "run", "format": 3}', OutputError, "later version"),
    ],
)
def test_a_mark_that_is_none_of_ours_is_told(tmp_path: Path, mark: bytes, error: type[OutputError], words: str) -> None:
    store = open_store(str(tmp_path))
    store.write_bytes(MARK, mark)
    with pytest.raises(error, match=words):
        claim(store, "run")
    assert store.read_bytes(MARK) == mark


@pytest.mark.parametrize("kinds", [("run", "run"), ("run", "export")])
def test_two_that_claim_at_once_agree_or_one_is_refused(place: Store, kinds: tuple[Kind, Kind]) -> None:
    start, refused = threading.Barrier(8), list[str]()

    def work(kind: Kind) -> None:
        start.wait()
        try:
            claim(place, kind)
        except OutputError:
            refused.append(kind)

    threads = [threading.Thread(target=work, args=[kinds[number % 2]]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    holds = kind_of(place)
    assert holds in kinds
    assert refused == [kind for kind in kinds for _ in range(4) if kind != holds and kinds[0] != kinds[1]]


@pytest.mark.parametrize(
    "path",
    [
        MARK,
        "run.json",
        "_SUCCESS",
        f"data/{HEX}.parquet",
        f"data/.{HEX}.parquet.{'0' * 32}.tmp",
        f"rejected/{HEX}.parquet",
        f"manifest/{HEX}.json",
        "lease/000001.beat",
        "plan/small-1.7B/000000000000-1024.parquet",
        "plan/_unreadable/000000000000-1.parquet",
        "sessions/000001-2.json",
        f"augment/manifest/{HEX}.json",
        "analyses/win/summary.json",
        f"analyses/diversity/data/{HEX}-0000000000.parquet",
        "report/difficulty-levels-narrow.png",
        f".probe-{'a' * 32}",
    ],
)
def test_what_a_run_writes_is_ours(path: str) -> None:
    assert is_ours(path)
    assert not is_ours(f"deeper/{path}")
    assert not is_ours(f"{path}.bak")
    assert not is_ours(f"{path}\n")


@pytest.mark.parametrize("folder", ["an evolver", "évolué", "a\nb"])
def test_whose_a_file_is_and_whether_it_is_ours_are_one_question(folder: str) -> None:
    """A leftover is removed by its form: nothing has one that is not known for ours."""
    path = f"plan/{folder}/000012-0123456789ab-000000000000-1.parquet"
    assert (epoch_of(path), is_ours(path)) == (None, False)
    assert epoch_of(f"plan/x/.{path.rpartition('/')[2]}.{'0' * 32}.tmp") == 12


@pytest.mark.parametrize(
    "path",
    [
        "data/raw/survey.parquet",
        "data/imagenet/0001.tar",
        "data/train.parquet",
        "data/00000.parquet",
        f"data/{HEX}.json",
        f"data/{HEX.upper()}.parquet",
        f"../data/{HEX}.parquet",
        f"data/../{HEX}.parquet",
        "plan/../x/000000000000-1.parquet",
        "lease/agreement.json",
        "analyses/mine.parquet",
        "analyses/mine/summary.json",
        "report/notes.txt",
        "notes.txt",
        ".git/config",
        f".git/.config.{'0' * 32}.tmp",
        "",
    ],
)
def test_what_others_write_is_not(path: str) -> None:
    assert not is_ours(path)


def test_each_kind_has_files_of_its_own() -> None:
    assert is_ours("train/00000.jsonl", "export")
    assert is_ours("dataset_info.json", "export")
    assert not is_ours("train/mine.jsonl", "export")
    assert not is_ours("train/00000.jsonl")
    assert is_ours("selection.json", "selection")
    assert is_ours("method.json", "search")
    assert not is_ours("method.json")


def test_roots_homes_and_what_one_stands_in_are_dangerous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_url: str, s3_options: dict[str, Any]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    (tmp_path / "work" / "deep").mkdir(parents=True)
    (tmp_path / "home" / "me" / "out").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    (tmp_path / "link").symlink_to("/")
    safe = ["out", "../out", str(tmp_path / "home" / "me" / "out")]
    unsafe = {
        "/": "root",
        str(tmp_path / "link"): "root",
        ".": "current folder",
        "..": "current folder",
        str(tmp_path / "home" / "me"): "home",
        str(tmp_path / "home"): "home",
        str(Path("~root").expanduser()): "home",
        "/proc": "mount point",
    }
    for url in safe:
        refuse_dangerous(open_store(url))
    for url, words in unsafe.items():
        with pytest.raises(OutputError, match=words):
            refuse_dangerous(open_store(url))
    refuse_dangerous(open_store(f"{s3_url}/out", s3_options))
    for url in (s3_url, f"{s3_url}/"):
        with pytest.raises(OutputError, match="whole bucket"):
            refuse_dangerous(open_store(url, s3_options))


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("a", "a", "same"),
        ("a/", "./a", "same"),
        ("a/b", "a", "inside"),
        ("a", "a/b", "around"),
        ("ab", "a", None),
        ("link", "a", "same"),
        ("link/b", "a", "inside"),
        ("memory://x/a/b", "memory://x/a", "inside"),
        ("memory://x/ab", "memory://x/a", None),
        ("memory://a", "a", None),
    ],
)
def test_places_that_lie_in_each_other_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str, found: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    assert overlap(open_store(one), open_store(other)) == found
