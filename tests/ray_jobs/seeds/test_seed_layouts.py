from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import SeedError
from ray_jobs.seeds.fields import RowProblem
from ray_jobs.seeds.layouts import Example
from ray_jobs.seeds.read import SeedSource, read_seeds
from ray_jobs.seeds.report import SeedReport
from ray_jobs.seeds.turns import TurnsLayout

SHAREGPT = TurnsLayout("conversations", "from", "value")
MESSAGES = TurnsLayout("messages", "role", "content")


def sharegpt(*turns: tuple[str, object]) -> dict[str, object]:
    return {"conversations": [{"from": role, "value": value} for role, value in turns]}


def messages(*turns: tuple[str, object]) -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("turns", "example"),
    [
        ([("human", "Hi?"), ("gpt", "Hello.")], Example("Hi?", "", "Hello.")),
        ([("user", "Hi?"), ("assistant", "Hello.")], Example("Hi?", "", "Hello.")),
        ([("human", "Hi?")], Example("Hi?")),
        ([("system", "Be kind."), ("human", "Hi?"), ("gpt", "Yes.")], Example("Hi?", "", "Yes.", 1, 0)),
        ([("gpt", "Welcome."), ("human", "Hi?"), ("gpt", "Yes.")], Example("Hi?", "", "Yes.")),
        (
            [("human", "A?"), ("gpt", "B."), ("human", "C?"), ("gpt", "D.")],
            Example("A?", "", "B.", 0, 2),
        ),
        ([("human", "A?"), ("human", "More."), ("gpt", "B.")], Example("A?\n\nMore.", "", "B.")),
        ([("human", "A?"), ("human", "C?")], Example("A?\n\nC?")),
        ([("User", "Hi?"), ("ChatGPT", "Hello.")], Example("Hi?", "", "Hello.")),
        ([("prompter", "Hi?"), ("bing", "Hello.")], Example("Hi?", "", "Hello.")),
        (
            [("human", "Hi?"), ("critic", "Hm."), ("bard", "Hello.")],
            Example("Hi?", "", "Hello.", notes=("unknown_role",)),
        ),
        ([("human", "Hi?"), ("gpt", None), ("tool", "42"), ("gpt", "So 42.")], Example("Hi?", "", "So 42.")),
        ([("human", "A?"), ("tool", "42"), ("gpt", "B."), ("tool", "43")], Example("A?", "", "B.", 0, 1)),
    ],
)
def test_first_exchange_of_a_conversation(turns: list[tuple[str, object]], example: Example) -> None:
    assert SHAREGPT.read(sharegpt(*turns)) == example
    assert MESSAGES.read(messages(*turns)) == example


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "One"}, {"type": "text", "text": "two."}],
        [{"type": "text", "value": "One"}, {"type": "text", "value": "two."}],
        [{"type": "input_text", "text": "One"}, {"type": "output_text", "text": "two."}],
        [{"text": "One"}, {"content": "two."}],
        [{"type": "text", "text": {"value": "One"}}, "two."],
        [{"type": "thinking", "thinking": "Hm."}, "One", "two."],
        {"type": "text", "text": "One\ntwo."},
        {"content_type": "text", "parts": ["One", "two."]},
    ],
)
def test_content_in_parts(content: object) -> None:
    assert MESSAGES.read(messages(("user", content), ("assistant", content))) == Example("One\ntwo.", "", "One\ntwo.")
    assert MESSAGES.read(messages(("user", content), ("assistant", None))) == Example("One\ntwo.")


TURNS = [{"role": "user", "content": "Hi?"}, {"role": "model", "content": "Hello."}]
NAMED = [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]


@pytest.mark.parametrize("turns", [TURNS, NAMED], ids=["role and content", "from and value"])
@pytest.mark.parametrize("layout", [SHAREGPT, MESSAGES], ids=["sharegpt", "messages"])
@pytest.mark.parametrize("name", ["messages", "conversations", "conversation", "body.messages"])
def test_conversations_under_either_name(name: str, layout: TurnsLayout, turns: list[dict[str, str]]) -> None:
    top, _, below = name.partition(".")
    row = {"id": 1, top: {"model": "m", below: turns} if below else turns}
    assert layout.read(row) == Example("Hi?", "", "Hello.")


@pytest.mark.parametrize(
    "stored",
    [
        json.dumps(NAMED),
        {"from": ["human", "gpt"], "value": ["Hi?", "Hello."]},
        [{"from": "human", "value": None, "text": "Hi?"}, {"role": "assistant", "content": "Hello."}],
    ],
    ids=["JSON text", "object of lists", "mixed names"],
)
def test_conversations_in_other_shapes(stored: object) -> None:
    assert SHAREGPT.read({"conversations": stored}) == Example("Hi?", "", "Hello.")


def test_a_conversation_at_a_path() -> None:
    layout = TurnsLayout("messages", "role", "content", "sides.0.chosen")
    assert layout.read({"messages": [], "sides": [{"chosen": TURNS}]}) == Example("Hi?", "", "Hello.")


@pytest.mark.parametrize(
    ("row", "reason", "message"),
    [
        ({"text": "x"}, "missing_field", "expected a field 'messages', the row has 'text'"),
        ({"messages": "x"}, "wrong_type", "field 'messages': expected a list of turns, got the text 'x'"),
        ({"messages": None}, "wrong_type", "expected a list of turns, got null"),
        ({"messages": []}, "bad_conversation", "expected a turn of the user, found none"),
        (messages(("system", "x"), ("assistant", "y")), "bad_conversation", "expected a turn of the user"),
        ({"messages": ["x"]}, "bad_conversation", "field 'messages', turn 1: expected an object, got the text 'x'"),
        ({"messages": [{"content": "x"}]}, "bad_conversation", "turn 1: expected a role in 'role', got null"),
        (messages(("system", "x"), ("user", 3)), "wrong_type", "turn 2, 'content': expected text, got the number 3"),
        (messages(("user", None)), "wrong_type", "turn 1, 'content': expected text, got null"),
        (messages(("hummany", "x"), ("gpt", "y")), "bad_conversation", "found turns of 'hummany', 'gpt'"),
        (messages(("user", "x"), ("mistral", "y")), "unknown_role", "turn 2: unknown role 'mistral'"),
        (
            messages(("user", "x"), ("mistral", "y"), ("user", "z"), ("gpt", "w")),
            "unknown_role",
            "turn 2: unknown role 'mistral'",
        ),
        (messages(("user", [{"type": "text"}])), "wrong_type", "expected a part with 'text', the part has 'type'"),
        ({"messages": {"role": ["user"], "content": []}}, "bad_conversation", "expected lists of one length"),
        (messages(("user", " ")), "empty_instruction", "turn 1: expected an instruction, found no text"),
        (messages(("user", "a"), ("assistant", "\ud800")), "undecodable", "turn 2, 'content': expected Unicode"),
        (
            messages(("user", [{"type": "image_url", "image_url": {}}])),
            "bad_conversation",
            "turn 1, 'content': expected parts of type 'text', got the text 'image_url'",
        ),
    ],
)
def test_bad_conversation(row: dict[str, object], reason: str, message: str) -> None:
    with pytest.raises(RowProblem) as raised:
        MESSAGES.read(row)
    assert raised.value.reason == reason
    assert message in str(raised.value)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet"])
def test_conversations_from_a_file(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [
        sharegpt(("system", "Be kind."), ("human", "A?"), ("gpt", "B."), ("human", "C?")),
        sharegpt(("gpt", "B.")),
        sharegpt(("human", "D?"), ("gpt", "E.")),
    ]
    path = tmp_path / f"seeds.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))

    (batch,) = read_seeds(SeedSource((str(path),), layout="sharegpt"))

    assert [(s.instruction, s.output) for s in batch.seeds] == [("A?", "B."), ("D?", "E.")]
    assert batch.report == SeedReport(
        read=3, seeds=2, bad={"bad_conversation": 1}, system_turns_dropped=1, later_turns_dropped=1
    )


def test_conversations_are_not_in_tables_of_text(tmp_path: Path) -> None:
    csv, parquet = tmp_path / "s.csv", tmp_path / "s.parquet"
    csv.write_text("messages\nx\n")
    pq.write_table(pa.table({"messages": ["x"]}), parquet)
    with pytest.raises(SeedError, match=r"s\.csv: a CSV file holds no lists of turns; expected seeds.layout: columns"):
        read_seeds(SeedSource((str(csv),), layout="messages"))
    with pytest.raises(SeedError, match=r"s\.parquet: column 'messages' has texts .*expected a list of turns"):
        read_seeds(SeedSource((str(parquet),), layout="messages"))


_TURN = pa.struct([("role", pa.string()), ("content", pa.string())])


@pytest.mark.parametrize(
    "type_",
    [
        pa.large_list(_TURN),
        pa.list_(_TURN, 2),
        pa.list_view(_TURN),
        pa.large_list_view(_TURN),
        pa.struct([("role", pa.list_(pa.string())), ("content", pa.list_(pa.string()))]),
        pa.string(),
        pa.json_(),
    ],
    ids=str,
)
def test_conversations_of_any_type_of_parquet(tmp_path: Path, type_: pa.DataType) -> None:
    column: object = TURNS
    if pa.types.is_struct(type_):
        column = {key: [turn[key] for turn in TURNS] for key in ("role", "content")}
    elif type_ in (pa.string(), pa.json_()):
        column = json.dumps(TURNS)
    pq.write_table(pa.table({"id": [1], "messages": pa.array([column], type_)}), tmp_path / "s.parquet")
    (batch,) = read_seeds(SeedSource((str(tmp_path / "s.parquet"),), layout="messages"))
    assert [(seed.instruction, seed.output) for seed in batch.seeds] == [("Hi?", "Hello.")]
    assert batch.report.unused_columns == ("id",)


@pytest.mark.parametrize("talk", [TURNS, json.dumps(TURNS)], ids=["list", "text"])
@pytest.mark.parametrize(("beside", "value"), [("input", "x"), ("Input", "x"), ("meta", {"input": "x"}), ("id", 1)])
def test_an_input_beside_a_conversation_is_nothing_to_it(
    tmp_path: Path, talk: object, beside: str, value: object
) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_pylist([{beside: value, "messages": talk}]), path)
    (batch,) = read_seeds(SeedSource((str(path),), layout="messages"))
    assert [(seed.instruction, seed.output) for seed in batch.seeds] == [("Hi?", "Hello.")]


@pytest.mark.parametrize("columns", [{}, {"conversation": "data.messages"}])
def test_a_nested_conversation_as_text(tmp_path: Path, columns: dict[str, str]) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.Table.from_pylist([{"data": {"messages": json.dumps(TURNS)}}]), path)
    (batch,) = read_seeds(SeedSource((str(path),), layout="messages", columns=columns))
    assert [(seed.instruction, seed.output) for seed in batch.seeds] == [("Hi?", "Hello.")]
    pq.write_table(pa.Table.from_pylist([{"data": {"messages": "x"}}]), path)
    with pytest.raises(SeedError, match=r"s\.parquet: column 'data\.messages' has texts .*expected a list of turns"):
        read_seeds(SeedSource((str(path),), layout="messages", columns=columns))


def test_conversations_as_text_in_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    quoted = json.dumps(NAMED).replace('"', '""')
    path.write_text(f'id,conversations\n1,"{quoted}"\n')
    (batch,) = read_seeds(SeedSource((str(path),), layout="sharegpt"))
    assert [(seed.instruction, seed.output) for seed in batch.seeds] == [("Hi?", "Hello.")]
