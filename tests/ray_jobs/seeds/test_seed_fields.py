"""Odd values, nested fields, pictures: what of a row is a seed, and what of it is only noted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import ConfigError, SeedError
from ray_jobs.seeds.fields import ABSENT, is_blank, value_at
from ray_jobs.seeds.report import Noted
from tests.ray_jobs.seed_reading import read


def lines(path: Path, *rows: Mapping[str, object]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def tabled(path: Path, *rows: Mapping[str, object]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", {"b": [{"c": 1}, {"c": 2}]}),
        ("a.b.1.c", 2),
        ("x.y", "dotted"),
        ("x.z", 3),
        ("x.y.z", 4),
        ("a.b.2.c", ABSENT),
        ("a.b.c", ABSENT),
        ("a.b.0.c.d", ABSENT),
        ("none", ABSENT),
    ],
)
def test_paths_lead_to_values(path: str, value: object) -> None:
    row = {"a": {"b": [{"c": 1}, {"c": 2}]}, "x.y": "dotted", "x": {"y": {"z": 4}, "z": 3}}
    assert value_at(row, path) == value


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\ufeff\u200d", "\u2060\u00ad", "\u2800", "\u3164", "\ufe0f"])
def test_what_shows_nothing_is_blank(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(f"{text}a")
    assert not is_blank(f"{text}你")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, ""),
        (float("nan"), ""),
        (5, "5"),
        (1.5, "1.5"),
        (True, "true"),
        ("x", "x"),
        ("", ""),
        (float("inf"), "Infinity"),
    ],
)
def test_scalars_are_taken_as_text(tmp_path: Path, value: object, kept: str) -> None:
    path = lines(tmp_path / "s.jsonl", {"instruction": "Go.", "input": value, "output": value})
    for pairs in (False, True):
        (seed,), _, _ = read(path, pairs=pairs)
        assert (seed.input, seed.output) == (kept, kept)


@pytest.mark.parametrize("value", [["Nile", "Rhine"], {"a": 1}, [], {}, "\ud800", "a\0"])
def test_an_output_that_is_no_text_counts_for_pairs_alone(tmp_path: Path, value: object) -> None:
    path = lines(tmp_path / "s.jsonl", {"instruction": "Go.", "output": value}, {"instruction": "Stay.", "output": "x"})
    seeds, bad, report = read(path)
    assert [(seed.instruction, seed.output) for seed in seeds] == [("Go.", ""), ("Stay.", "x")]
    assert not bad
    assert report.notes == {"output_not_text": Noted(1, f"{path}:1")}
    seeds, (row,), _ = read(path, pairs=True)
    assert [seed.instruction for seed in seeds] == ["Stay."]
    assert "field 'output': expected" in row.message


def test_an_input_of_several_values_is_their_json(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "s.jsonl", {"instruction": "Sort.", "input": ["b", "ä"]}, {"instruction": "Go.", "input": {}}
    )
    seeds, _, report = read(path)
    assert [seed.input for seed in seeds] == ['["b", "ä"]', ""]
    assert report.notes["input_as_json"].count == 2


@pytest.mark.parametrize("type_", [pa.int32(), pa.float64(), pa.null(), pa.bool_(), pa.date32(), pa.list_(pa.string())])
def test_columns_of_a_table_without_one_value(tmp_path: Path, type_: pa.DataType) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"instruction": ["Go."], "input": pa.nulls(1, type_), "output": pa.nulls(1, type_)}), path)
    (seed,), _, report = read(path)
    assert (seed.input, seed.output, report.notes) == ("", "", {})


def test_numbers_and_lists_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    columns = {"instruction": ["Add.", "Add more."], "input": pa.array([4, None], pa.int8()), "output": [["a"], None]}
    pq.write_table(pa.table(columns), path)
    seeds, _, _ = read(path)
    assert [(seed.input, seed.output) for seed in seeds] == [("4", ""), ("", "")]
    with pytest.raises(SeedError, match=r"column 'output' has the type list<.*>, expected text; say .*output\.0"):
        read(path, pairs=True)


NESTED = {"instruction": "Relate.", "instances": [{"input": "Night : Day", "output": "Opposite."}]}


@pytest.mark.parametrize("write", [lines, tabled])
def test_an_input_in_a_nested_field_is_asked_for(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / ("s.jsonl" if write is lines else "s.parquet"), NESTED, NESTED)
    with pytest.raises(SeedError, match=r"no field 'input', but 'instances\.0\.input' holds one; say seeds\.columns"):
        read(path)
    (seed,), _, _ = read(path, columns={"input": "instances.0.input", "output": "instances.0.output"})
    assert (seed.input, seed.output) == ("Night : Day", "Opposite.")
    (seed,), _, report = read(path, columns={"input": ""})
    assert seed.input == ""
    assert report.unused_columns == ("instances",)
    with pytest.raises(SeedError, match=r"at 'instances\.0\.inputs' for the input"):
        read(path, columns={"input": "instances.0.inputs"})


def test_an_input_under_another_spelling_is_asked_for(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", {"instruction": "Translate.", "Input": "maison"})
    with pytest.raises(SeedError, match="no field 'input', but 'Input' holds one"):
        read(path)
    assert read(path, columns={"input": "Input"})[0][0].input == "maison"


@pytest.mark.parametrize("write", [lines, tabled])
def test_lists_in_place_of_instructions(tmp_path: Path, write: Any) -> None:
    rows = [{"turns": [f"Name {n} rivers.", "Shorter."]} for n in range(30)]
    path = write(tmp_path / ("s.jsonl" if write is lines else "s.parquet"), *rows)
    with pytest.raises(SeedError, match=r"list.*say seeds\.columns\.instruction: turns\.0"):
        read(path, columns={"instruction": "turns"})
    seeds, _, _ = read(path, columns={"instruction": "turns.0"})
    assert [seed.instruction for seed in seeds] == [row["turns"][0] for row in rows]


def test_pairs_without_an_output_are_told(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", {"instruction": "Go.", "Output": "x"})
    with pytest.raises(SeedError, match=r"no column 'output' for the output, .*did you mean 'Output'\?"):
        read(path, pairs=True)
    assert len(read(path)[0]) == 1


def test_a_file_of_conversations_names_the_layout(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", {"messages": [{"role": "user", "content": "Go."}]})
    with pytest.raises(SeedError, match=r"seeds\.layout: messages"):
        read(path)


def test_a_conversation_under_any_name(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", {"chosen_messages": [{"role": "user", "content": "Go."}]})
    with pytest.raises(
        SeedError, match=r"no column 'messages' for the conversation, .*did you mean 'chosen_messages'\?"
    ):
        read(path, layout="messages")
    assert len(read(path, layout="messages", columns={"conversation": "chosen_messages"})[0]) == 1
    with pytest.raises(ConfigError, match=r"seeds\.columns\.conversation: expected seeds\.layout"):
        read(path, columns={"conversation": "chosen_messages"})


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        ({"instruction": "<image>Who?", "images": ["1.jpg"]}, True),
        ({"instruction": "<image>\nWho?", "image": "1.jpg"}, True),
        ({"instruction": "Who?", "images": ["1.jpg"]}, True),
        ({"instruction": "Listen. <audio>", "audios": [{"path": "1.wav"}]}, True),
        ({"instruction": "Who?", "image": {"bytes": None, "path": "1.jpg"}}, True),
        ({"instruction": "Who?", "images": [], "image": None, "videos": [None]}, False),
        ({"instruction": "Sum it up.", "image": "cover.jpg"}, False),
        ({"instruction": "What does <image> mean in SVG?"}, False),
    ],
)
def test_a_task_that_needs_pictures_is_no_seed(tmp_path: Path, row: dict[str, object], refused: bool) -> None:
    seeds, bad, _ = read(lines(tmp_path / "s.jsonl", row, {"instruction": "Go."}))
    assert [item.reason for item in bad] == ["needs_media"] * refused
    assert len(seeds) == 2 - refused


@pytest.mark.parametrize("depth", [600, 900])
@pytest.mark.parametrize(("field", "pairs"), [("images", False), ("meta", True)])
@pytest.mark.parametrize("name", ["s.jsonl", "s.json"])
def test_a_row_that_is_too_deep_is_no_seed(tmp_path: Path, name: str, field: str, pairs: bool, depth: int) -> None:
    deep = f'{{"instruction": "Go.", "output": "x", "{field}": {"[" * depth}{"]" * depth}}}'
    rows = [deep, '{"instruction": "Stay.", "output": "x"}']
    path = tmp_path / name
    path.write_text("\n".join(rows) if name == "s.jsonl" else f"[{rows[1]}, {rows[0]}]")
    seeds, (bad,), _ = read(path, pairs=pairs)
    assert [seed.instruction for seed in seeds] == ["Stay."]
    assert bad.reason == "too_deep"


def test_pictures_of_conversations_and_tables(tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "<image>Who are they?"}], "images": ["1.jpg"]}
    with pytest.raises(SeedError, match=r"1 needs_media.*image"):
        read(lines(tmp_path / "s.jsonl", talk), layout="messages")
    rows = [{"instruction": "Who?", "image": {"bytes": b"x"}}, {"instruction": "Go.", "image": None}]
    seeds, bad, _ = read(tabled(tmp_path / "s.parquet", *rows))
    assert ([seed.instruction for seed in seeds], [item.reason for item in bad]) == (["Go."], ["needs_media"])


def test_what_deserves_a_second_look_is_noted(tmp_path: Path) -> None:
    tasks = ["Stop.<|im_end|>", "[INST] Go.", "Plain <b>text</b> [1]", "See <image>.", "Say </s>", "<start_of_turn>x"]
    path = lines(tmp_path / "s.jsonl", *({"instruction": text, "id": 1} for text in tasks))
    report = read(path)[2]
    assert report.notes == {
        "control_tokens": Noted(4, f"{path}:1"),
        "media_placeholder": Noted(1, f"{path}:4"),
    }
    assert report.lines() == [
        f"4 seeds noted for control tokens: {path}:1",
        f"1 seeds noted for media placeholder: {path}:4",
        "columns that nothing reads: id",
    ]
