"""Texts as other tools write them: several JSON values in a file, other encodings, line ends and compression."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest

from ray_jobs.errors import SeedError
from tests.ray_jobs.seed_reading import read, texts

A, B, C = (json.dumps({"instruction": text}) for text in ("Go.", "Stay.", "Sit."))
BOM = "\ufeff"


@pytest.mark.parametrize(
    "content",
    [
        f"[{A}]\n[{B}, {C}]",
        f"[{A}, {B}]\n{C}\n",
        f"[{A}]{B}{C}",
        f"[{A}],\n[{B}],\n[{C}]\n",
        f"{BOM}[{A}]\n{BOM}[{B}, {C}]",
        f"{A}\n{B}\n[{C}]",
        f"{A}{B}\n\n{BOM}{C}",
        f"[{A}]\n[{B}]\n[{C}]",
        "\n".join(json.dumps(json.loads(item), indent=2) for item in (A, B, C)),
        json.dumps([json.loads(item) for item in (A, B, C)], indent=1),
        f"{A},\n{B},\n{C},\n",
    ],
    ids=[
        "arrays", "array and lines", "glued", "commas", "marks", "lines and array", "glued lines", "array a line",
        "objects over lines", "array over lines", "a comma a line",
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_all_values_of_a_json_file_are_read(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"s.{suffix}"
    path.write_text(content, encoding="utf-8")
    assert texts(path) == ["Go.", "Stay.", "Sit."]


@pytest.mark.parametrize("tail", ["xyz", "]", '{"instruction": ', "\0\0"])
def test_what_follows_an_array_is_named(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(f"[{A},\n{B}]\n{tail}")
    seeds, (bad,), _ = read(path)
    assert [seed.instruction for seed in seeds] == ["Go.", "Stay."]
    assert bad.message.startswith(f"{path}, row 3: malformed JSON after the end of the array: ")
    assert "in line 3; the rest of the file cannot be read" in bad.message


@pytest.mark.parametrize(
    "encoding", [*(f"utf-{width}{order}" for width in (16, 32) for order in ("", "-le", "-be")), "utf-8-sig"]
)
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_files_of_other_encodings(tmp_path: Path, suffix: str, encoding: str) -> None:
    rows = [{"instruction": f"Zähle bis {n} 😀"} for n in range(3000)]
    content = {
        "jsonl": "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "json": json.dumps(rows, ensure_ascii=False),
        "csv": "instruction\r\n" + "\r\n".join(row["instruction"] for row in rows),
    }[suffix]
    path = tmp_path / f"s.{suffix}"
    path.write_bytes(content.encode(encoding))
    assert texts(path) == [row["instruction"] for row in rows]


def test_a_broken_file_of_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    half = '"\ud800"\n'.encode("utf-16-le", "surrogatepass")
    path.write_bytes(f"{BOM}{A}\n".encode("utf-16-le") + half + b"\n")
    seeds, bad, _ = read(path)
    assert [seed.instruction for seed in seeds] == ["Go."]
    assert [item.reason for item in bad] == ["undecodable", "undecodable"]
    assert bad[1].message.startswith(f"{path}:3: expected UTF-8")


def test_line_ends_of_old_machines(tmp_path: Path) -> None:
    lines, array, table = tmp_path / "s.jsonl", tmp_path / "s.json", tmp_path / "s.csv"
    lines.write_bytes(f"{A}\r{B}\r".encode())
    array.write_bytes(f"[{A},\r{B}]\r".encode())
    table.write_bytes(b'instruction,input\rGo.,"one\rtwo"\rStay.,\r')
    assert texts(lines) == texts(array) == ["Go.", "Stay."]
    assert [(item.instruction, item.input) for item in read(table)[0]] == [("Go.", "one\rtwo"), ("Stay.", "")]


def test_one_line_end_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(f"{A}\n{B}\r{C}\n".encode())
    assert texts(path) == ["Go.", "Stay.", "Sit."]


@pytest.mark.parametrize("name", ["s.tsv", "s.csv"])
@pytest.mark.parametrize("delimiter", ["\t", ";", "|", ","])
def test_columns_are_told_apart_by_the_header(tmp_path: Path, name: str, delimiter: str) -> None:
    path = tmp_path / name
    rows = [["instruction", "input"], ["Go.", '"a,b;c|d\te"']]
    path.write_text("".join(delimiter.join(row) + "\n" for row in rows))
    (seed,), _, _ = read(path)
    assert (seed.instruction, seed.input) == ("Go.", "a,b;c|d\te")


def test_a_header_that_comes_again_is_no_seed(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(f"instruction,input\nGo.,\n{BOM}instruction,input\nStay.,\n", encoding="utf-8")
    seeds, (bad,), _ = read(path)
    assert [seed.instruction for seed in seeds] == ["Go.", "Stay."]
    assert (bad.line, bad.reason) == (3, "repeated_header")


@pytest.mark.parametrize(
    "name", ["s.jsonl", "s.json", "S.JSONL.GZ", "s.jsonlines", "s.jl.gzip", "s.ndjson.gz", "s.jsonl.zst"]
)
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_compression_is_known_by_the_content(tmp_path: Path, name: str, compress: type) -> None:
    path = tmp_path / name
    path.write_bytes(compress(f"{A}\n{B}\n".encode()))
    assert texts(path) == ["Go.", "Stay."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("s.parquet", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("s.json", b"<!DOCTYPE html>\n<html>", "a page in HTML"),
        ("s.csv", b"PK\x03\x04", "a ZIP archive"),
        ("s.jsonl", b"PAR1", "say seeds.format: parquet"),
        ("s.json", b'{"data": [' + A.encode() + b"]}", "no column 'instruction' .* the file has 'data'"),
        (
            "s.json",
            b'{"instruction": {"0": "Go.", "1": "Stay."}}',
            "no usable seed in 1 rows .*expected text, got an obj",
        ),
        (
            "s.jsonl",
            b'{"instruction": 5}\n' * 3,
            r"no usable seed in 3 rows \(1 wrong_type\); the first: .*s.jsonl:1: ",
        ),
    ],
)
def test_a_file_without_a_seed_is_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SeedError, match=f"(?s){message}"):
        read(path)
