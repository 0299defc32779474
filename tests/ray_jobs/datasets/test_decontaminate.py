"""Benchmark files of all kinds, and what counts as repeating them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.datasets.decontaminate import Benchmarks
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.errors import ConfigError
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import ids, read_records, record, write_output

ITEM = "A farmer sells seven baskets of ripe plums and buys four hens with half of the money"
SHORT = "Which river runs through Vienna?"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for benchmarks."""
    made = tmp_path / "benchmarks"
    made.mkdir()
    return made


def holds(folder: Path, instruction: str, input: str = "", output: str = "", n: int = 13) -> bool:
    """Whether the folder's benchmarks hold the record."""
    return Benchmarks.load(open_store(str(folder)), n).hold(instruction, input, output)


def parquet(path: Path) -> None:
    """ITEM, nested in a struct and a list."""
    pq.write_table(pa.table({"id": [1], "turns": [[{"content": ITEM}]]}), path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", json.dumps({"id": 3, "question": ITEM}).encode() + b"\n"),
        ("a.json", json.dumps([{"turns": [{"content": ITEM}]}]).encode()),
        ("a.json", json.dumps({"data": {"one": [ITEM]}}, indent=1).encode()),
        ("a.json", (json.dumps({"x": "y"}) + "\n" + json.dumps({"question": ITEM})).encode()),
        ("a.csv", f"id,question\n1,{ITEM}\n".encode()),
        ("deep/a.txt", f"\n{ITEM}\n".encode()),
        ("A.JSONL.gz", gzip.compress(json.dumps([ITEM]).encode(), mtime=0)),
    ],
)
def test_texts_are_found_in_all_kinds_of_files(folder: Path, name: str, content: bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    assert holds(folder, f"Solve this: {ITEM.upper()}!")


def test_texts_are_found_in_parquet(folder: Path) -> None:
    parquet(folder / "a.parquet")
    assert holds(folder, ITEM)


def test_a_run_of_n_words_counts_in_any_text(folder: Path) -> None:
    (folder / "a.txt").write_text(ITEM)
    words = ITEM.split()
    assert holds(folder, " ".join(words[2:15]))
    assert holds(folder, "x", "before " + " ".join(words[2:15]) + " after")
    assert holds(folder, "x", "", " ".join(words[2:15]))
    assert not holds(folder, " ".join(words[2:14]), " ".join(words[14:]))
    assert holds(folder, " ".join(words[2:14]), n=12)
    assert not holds(folder, " ".join([*words[:7], "not", *words[7:]]))


def test_a_short_text_counts_as_a_whole_question(folder: Path) -> None:
    (folder / "a.txt").write_text(f"{SHORT}\nParis\n")
    assert holds(folder, "which river runs through VIENNA")
    assert holds(folder, "Answer.", SHORT)
    assert not holds(folder, f"{SHORT} And through Linz?")
    assert not holds(folder, "Answer.", "", SHORT)
    assert not holds(folder, "Paris")


def test_files_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / "README.md").write_text("no benchmark")
    with pytest.raises(ConfigError, match=r"benchmarks: expected a folder with files of .jsonl, .json"):
        holds(folder, ITEM)
    for name, content in (
        ("a.jsonl", b'{"a": 1}\n{"a": \n'),
        ("a.json", b"[1, 2"),
        ("a.json", b"[" * 100_000),
        ("a.csv", b'a,"b\nc"x,d\n1,2,3\n'),
        ("a.parquet", b"none"),
        ("a.txt", b"\xff\xfe"),
        ("a.txt.gz", b"none"),
    ):
        (folder / name).write_bytes(content)
        with pytest.raises(ConfigError, match=f"{name}: cannot be read: "):
            holds(folder, ITEM)
        (folder / name).unlink()


def test_a_selection_counts_what_it_leaves_out(folder: Path, tmp_path: Path, target: Store) -> None:
    item = " ".join(f"word{number}" for number in range(25))
    (folder / "words.txt").write_text(f"{item}\n{SHORT}\n")
    output = open_store(str(tmp_path / "run"))
    # the contaminated record ranks before its near duplicate, which has no run of 13 and must not go for its sake
    near = item.replace("word12", "other")
    records = [
        record(0, instruction=item, input="", ic_ifd=0.9),
        record(1, instruction=near, input="", ic_ifd=0.8),
        record(2, ic_ifd=0.7),
        record(3, ic_ifd=0.1, instruction=item),
    ]
    write_output(output, [records])
    rule = Rule("ic_ifd", top=3, near_duplicates=0.6, ngram=13)
    selection = select(output, target, rule, open_store(str(folder)), say=lambda _: None)
    assert ids(read_records(target)) == ids(records[1:3])
    assert {reason.label: count for reason, count in selection.totals.items()} == {
        "kept": 2,
        "below_cut": 1,
        "contaminated": 1,
    }
    account = json.loads(target.read_bytes("selection.json"))
    assert [(benchmark["path"], benchmark["items"]) for benchmark in account["benchmarks"]] == [("words.txt", 2)]
    assert "13 words in common with `words.txt`" in target.read_bytes("README.md").decode()
