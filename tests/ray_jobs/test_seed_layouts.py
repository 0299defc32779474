from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import SeedError
from ray_jobs.seed_layouts import Example, RowProblem, TurnsLayout
from ray_jobs.seeds import SeedReport, SeedSource, read_seeds

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
        ([("human", "A?"), ("human", "More."), ("gpt", "B.")], Example("A?", "", "B.")),
        ([("human", "A?"), ("tool", "42"), ("gpt", "B."), ("tool", "43")], Example("A?", "", "B.", 0, 1)),
    ],
)
def test_first_exchange_of_a_conversation(turns: list[tuple[str, object]], example: Example) -> None:
    assert SHAREGPT.read(sharegpt(*turns)) == example
    assert MESSAGES.read(messages(*turns)) == example


def test_content_in_parts() -> None:
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": "two."}]
    assert MESSAGES.read(messages(("user", parts), ("assistant", None))) == Example("One\ntwo.")


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
    with pytest.raises(SeedError, match=r"s\.parquet: column 'messages' has the type string, expected a list of turns"):
        read_seeds(SeedSource((str(parquet),), layout="messages"))
