from __future__ import annotations

import bz2
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import SeedError
from ray_jobs.seeds.formats import _batches, read_parquet
from ray_jobs.seeds.json_rows import ROW_LIMIT
from ray_jobs.seeds.read import BadSeed, Seed
from tests.ray_jobs import seed_reading


def read(path: Path, **options: Any) -> tuple[list[Seed], list[BadSeed]]:
    return seed_reading.read(path, **options)[:2]


def texts(path: Path, **options: Any) -> list[str]:
    seeds, bad = read(path, **options)
    assert not bad
    return [seed.instruction for seed in seeds]


def only_bad(path: Path, **options: Any) -> BadSeed:
    _, bad = read(path, **options)
    assert len(bad) == 1
    return bad[0]


GOOD = b'{"instruction": "Go."}\n'


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        (b'{"instruction": "x"', "malformed_json", "malformed JSON: Expecting ',' delimiter at column 20"),
        (b"nonsense", "malformed_json", "malformed JSON: Expecting value at column 1"),
        (b"[" * 100_000, "malformed_json", "recursion"),
        (b'{"instruction": ' + b"9" * 5000 + b"}", "malformed_json", "4300 digits"),
        (b'["Go."]', "not_an_object", "expected a JSON object, got a list"),
        (b'"Go."', "not_an_object", "expected a JSON object, got the text 'Go.'"),
        (b"null", "not_an_object", "expected a JSON object, got null"),
        (b'{"text": "x"}', "missing_field", "expected a field 'instruction', the row has 'text'"),
        (b"{}", "missing_field", "expected a field 'instruction', the row has none"),
        (b'{"instruction": 7}', "wrong_type", "field 'instruction': expected text, got the number 7"),
        (b'{"instruction": true}', "wrong_type", "field 'instruction': expected text, got true"),
        (b'{"instruction": null}', "wrong_type", "field 'instruction': expected text, got null"),
        (b'{"instruction": ["a"]}', "wrong_type", "field 'instruction': expected text, got a list"),
        (b'{"instruction": " \\n"}', "empty_instruction", "field 'instruction': expected an instruction"),
        (b'{"instruction": "a\\u0000"}', "undecodable", "found a NUL character"),
        (b'{"instruction": "ab\\ud800"}', "undecodable", "character 3 is half a surrogate pair"),
        (b'{"instruction": "a", "input": "\\udc00"}', "undecodable", "field 'input': expected Unicode text"),
        (
            '{"instruction": "\u200b\u2060\u3164"}'.encode(),
            "empty_instruction",
            "expected an instruction, found no text",
        ),
        (b'{"instruction": "\xff"}', "undecodable", "expected UTF-8, byte 18 of the line is not"),
    ],
)
def test_bad_line_of_jsonl(tmp_path: Path, line: bytes, reason: str, message: str) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(GOOD + b"\n" + line + b"\n" + GOOD.replace(b"Go", b"Stay"))

    seeds, bad = read(path)

    assert [seed.instruction for seed in seeds] == ["Go.", "Stay."]
    (row,) = bad
    assert (row.source, row.line, row.reason) == (str(path), 3, reason)
    assert row.message.startswith(f"{path}:3: ")
    assert message in row.message
    assert row.raw == line.decode(errors="replace")[:2000]
    assert len(row.seed_id) == 32
    row.message.encode()  # storable
    with pytest.raises(SeedError, match=r"seeds\.jsonl:3: "):
        read(path, on_error="stop")


def test_jsonl_with_byte_order_mark_crlf_blank_lines_and_no_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"instruction": "One \xf0\x9f\x98\x80"}\r\n\r\n  \r\n{"instruction": "Two \\ud83d\\ude00"}'
    )
    assert texts(path) == ["One 😀", "Two 😀"]


def test_id_of_a_bad_line_does_not_depend_on_its_end(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    ids = set()
    for end in (b"\n", b"\r\n", b""):
        path.write_bytes(GOOD + b"nonsense" + end)
        ids.add(only_bad(path).seed_id)
    assert len(ids) == 1


def test_endless_line_is_one_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with path.open("wb") as file:
        file.write(GOOD)
        for _ in range(5):
            file.write(b"x" * (ROW_LIMIT // 2))
        file.write(b"\n" + GOOD.replace(b"Go", b"Stay"))
    seeds, (bad,) = read(path)
    assert [s.instruction for s in seeds] == ["Go.", "Stay."]
    assert (bad.line, bad.reason) == (2, "too_long")


def array(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "seeds.json"
    path.write_bytes(content)
    return path


def test_json_array_larger_than_its_window(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n} " + "é" * (n * 97 % 3000), "extra": [n, {"deep": None}]} for n in range(1500)]
    for indent in (None, 2):
        path = array(tmp_path, json.dumps(rows, ensure_ascii=False, indent=indent).encode())
        assert path.stat().st_size > 2_000_000
        assert texts(path) == [row["instruction"] for row in rows]


def test_json_element_longer_than_its_window(tmp_path: Path) -> None:
    long = "word " * 200_000
    path = array(tmp_path, json.dumps([{"instruction": "a"}, {"instruction": long}, {"instruction": "b"}]).encode())
    assert texts(path) == ["a", long, "b"]


def test_json_array_with_bad_elements(tmp_path: Path) -> None:
    path = array(
        tmp_path,
        b'\xef\xbb\xbf [ {"instruction": "a"} ,\n 12345, NaN, {"instruction": "\\ud800"},\n{"instruction": "\xff"},'
        b' {"instruction": 123456789012345678901234567890}, {"instruction": "b"}]\n',
    )
    seeds, bad = read(path)
    assert [s.instruction for s in seeds] == ["a", "b"]
    assert [(b.line, b.reason) for b in bad] == [
        (2, "not_an_object"),
        (3, "not_an_object"),
        (4, "undecodable"),
        (5, "undecodable"),
        (6, "wrong_type"),
    ]
    assert bad[0].message == f"{path}, row 2: expected a JSON object, got the number 12345"
    assert bad[2].raw == '{"instruction": "\\ud800"}'


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (b"", "truncated_json"),
        (b",", "truncated_json"),
        (b', {"instruction": "b', "truncated_json"),
        (b', {"instruction"', "truncated_json"),
        (b', {"instruction" "b"}]', "malformed_json"),
        (b' {"instruction": "b"}]', "malformed_json"),
        (b",]", "malformed_json"),
        (b", " + b"[" * 100_000, "malformed_json"),
    ],
)
@pytest.mark.parametrize("rows", [1, 3000])
def test_json_array_that_breaks_off(tmp_path: Path, rows: int, end: bytes, reason: str) -> None:
    good = b",".join(b'{"instruction": "a number, %d"}' % n for n in range(rows))
    path = array(tmp_path, b"[" + good + end)
    seeds, (bad,) = read(path)
    assert len(seeds) == rows
    assert (bad.line, bad.reason) == (rows + 1, reason)
    assert "the rest of the file cannot be read" in bad.message
    with pytest.raises(SeedError, match=rf"seeds.json, row {rows + 1}: malformed JSON"):
        read(path, on_error="stop")


def test_json_file_with_an_object_a_line(tmp_path: Path) -> None:
    assert texts(array(tmp_path, GOOD)) == ["Go."]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"instruction,input\n", "expected a JSON array or a JSON object a line, it starts with 'instruction,input"),
        (b"{\n" + b'"a": 1,\n' * 30 + b"}", "none of the first 20 rows is a JSON object"),
        (b'[{"instructions": "a"}]', "no column 'instruction' for the instruction, the file has 'instructions'; did"),
    ],
)
def test_json_file_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SeedError, match=message):
        read(array(tmp_path, content))


def table(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "seeds.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_with_quotes_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = table(tmp_path, '\ufeff"instruction",input\r\n"Say ""hi"",\r\ntwice.",x\r\n\r\nGo.,\r\n')
    seeds, bad = read(path)
    assert not bad
    assert [(s.instruction, s.input) for s in seeds] == [('Say "hi",\r\ntwice.', "x"), ("Go.", "")]


def test_csv_names_the_line_where_a_bad_record_begins(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        b'instruction,input\n"two\nlines",x\nshort\n\n"over\nthree\nlines",x,extra\n,x\nbad \xff,x\n"a"b,x\nGo.,\n',
    )
    seeds, bad = read(path)
    assert [s.instruction for s in seeds] == ["two\nlines", "Go."]
    assert [(b.line, b.reason) for b in bad] == [
        (4, "wrong_column_count"),
        (6, "wrong_column_count"),
        (9, "empty_instruction"),
        (10, "undecodable"),
        (11, "malformed_csv"),
    ]
    assert bad[0].message == f"{path}:4: expected 2 columns as in the header, got 1"
    assert bad[1].raw == '"over\nthree\nlines",x,extra'


def test_csv_with_a_quote_that_never_closes(tmp_path: Path) -> None:
    bad = only_bad(table(tmp_path, 'instruction\nGo.\n"Stay.\nSit.\n'))
    assert (bad.line, bad.reason) == (3, "malformed_csv")


def test_csv_holds_long_fields(tmp_path: Path) -> None:
    assert len(texts(table(tmp_path, "instruction\n" + "x" * 1_000_000))[0]) == 1_000_000


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "instructions,input",
            r"no column 'instruction' for the instruction, the file has 'instructions', 'input'; did",
        ),
        ("instruction,instruction", "the header names the column 'instruction' twice"),
        ("instructions;input", r"the file has 'instructions', 'input'; did you mean 'instructions'\?"),
        ('"instruction" ,input', "malformed CSV"),
    ],
)
def test_csv_with_a_wrong_header(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(SeedError, match=message):
        read(table(tmp_path, f"{header}\nGo.,x\n"))


def test_csv_wants_a_mapped_column_and_not_the_others(tmp_path: Path) -> None:
    path = table(tmp_path, "question,context\nWhy?,Because.\n")
    seeds, _ = read(path, columns={"instruction": "question", "input": "context"})
    assert [(s.instruction, s.input, s.output) for s in seeds] == [("Why?", "Because.", "")]
    with pytest.raises(SeedError, match=r"no column 'contxt' for the input, .*did you mean 'context'\?"):
        read(path, columns={"instruction": "question", "input": "contxt"})


def parquet(tmp_path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = tmp_path / "seeds.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_in_many_row_groups(tmp_path: Path) -> None:
    rows = [f"Count to {n}." for n in range(5000)]
    path = parquet(tmp_path, {"other": range(5000), "instruction": rows}, row_group_size=700)
    assert texts(path) == rows


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_texts_of_any_kind(tmp_path: Path, type_: pa.DataType) -> None:
    path = parquet(tmp_path, {"instruction": pa.array(["a", "b"], type_), "input": pa.nulls(2)})
    assert texts(path) == ["a", "b"]


def test_parquet_with_bad_rows(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"\xff", b"", None, b"b"], pa.binary())
    broken = pa.StringArray.from_buffers(5, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    seeds, bad = read(parquet(tmp_path, {"instruction": broken}))
    assert [s.instruction for s in seeds] == ["a", "b"]
    assert [(b.line, b.reason) for b in bad] == [
        (2, "undecodable"),
        (3, "empty_instruction"),
        (4, "wrong_type"),
    ]
    assert bad[1].message.endswith("seeds.parquet, row 3: field 'instruction': expected an instruction, found no text")


def test_rows_of_parquet_that_are_not_utf8_are_each_told(tmp_path: Path) -> None:
    raw = pa.array([b"a", b"\xff", b"\xff", b"\xfe"], pa.binary())
    broken = pa.StringArray.from_buffers(4, raw.buffers()[1], raw.buffers()[2], raw.buffers()[0])
    path = parquet(tmp_path, {"instruction": broken})
    bad = read(path)[1]
    assert [(item.line, item.reason) for item in bad] == [(n, "undecodable") for n in (2, 3, 4)]
    assert len({item.seed_id for item in bad}) == 3
    assert read(path)[1] == bad


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"instruct": ["a"]}, r"no column 'instruction' for the instruction, the file has 'instruct'; did you mean"),
        ({"instruction": [1]}, "column 'instruction' has the type int64, expected text"),
        ({"instruction": [["a"]]}, r"column 'instruction' has the type list<.*>, expected text; say .*instruction\.0"),
    ],
)
def test_parquet_with_a_wrong_schema(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(SeedError, match=f"seeds.parquet: {message}"):
        read(parquet(tmp_path, columns))


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["instruction", "instruction"]), path)
    with pytest.raises(SeedError, match="names the column 'instruction' twice"):
        read(path)


def test_file_that_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "seeds.parquet"
    path.write_bytes(b"instruction\n")
    with pytest.raises(SeedError, match=r"seeds\.parquet: cannot be read as parquet"):
        read(path)


@pytest.mark.parametrize(("compress", "codec"), [(gzip.compress, "gzip"), (bz2.compress, "bz2")])
@pytest.mark.parametrize("name", ["s.parquet.gz", "s.parquet"])
def test_parquet_that_is_compressed_as_a_whole(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes], codec: str
) -> None:
    path = tmp_path / name
    path.write_bytes(compress(parquet(tmp_path, {"instruction": ["Go."]}).read_bytes()))
    with pytest.raises(SeedError, match=rf"{name}: .*compressed with {codec} as a whole"):
        read(path)


def test_parquet_with_a_damaged_row_group_gives_the_rows_before(tmp_path: Path) -> None:
    path = parquet(tmp_path, {"instruction": [f"Count to {n}." for n in range(4000)]}, row_group_size=1024)
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(2).column(0).dictionary_page_offset
    content[start : start + 2000] = b"\xff" * 2000
    path.write_bytes(content)

    seeds, (bad,) = read(path)

    assert len(seeds) == 2048
    assert (bad.line, bad.reason) == (2049, "damaged_file")


class Measured(io.FileIO):
    """A file that knows how much was read of it at once."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(-1 if size is None else size)
        self.most = max(self.most, len(found))
        return found


def test_a_large_row_group_is_never_held_as_a_whole(tmp_path: Path) -> None:
    path, turns = tmp_path / "s.parquet", [[{"role": "user", "content": os.urandom(100_000).hex()}] for _ in range(100)]
    pq.write_table(pa.table({"messages": turns}), path, write_batch_size=1, use_dictionary=False)
    with Measured(path) as file:
        assert [row.value for row in read_parquet(file, ["messages"])] == [{"messages": turn} for turn in turns]
        assert file.most < path.stat().st_size * 0.8


@pytest.mark.slow
def test_large_rows_of_parquet_come_in_small_batches(tmp_path: Path) -> None:
    """Arrow cannot hand out nested columns of 2 GB in a batch, nor are such batches any good for memory."""
    long = "The quick brown fox. " * 50_000
    rows = [{"messages": [{"role": "user", "content": f"{n} {long}"}], "id": n} for n in range(300)]
    path = tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, use_dictionary=False, compression="zstd")
    held = 0
    with path.open("rb") as file:
        for row in read_parquet(file, ["messages"]):
            assert row.number == held + 1
            held += 1
    assert held == 300
    with path.open("rb") as file:
        sizes = [batch.num_rows for batch in _batches(pq.ParquetFile(file), 0, ["messages"])]
    assert max(sizes) * len(long) < 2 * (64 << 20)
    with path.open("rb") as file:
        assert [batch.num_rows for batch in _batches(pq.ParquetFile(file), 0, ["id"])] == [300]
