"""The formats of training programs, each with the description by which LLaMA-Factory reads it.

LLaMA-Factory knows two layouts: "alpaca", one column a text, and "sharegpt", a list of turns; the messages of
OpenAI's API are the second with other tags. It puts a record's instruction and input together with a line break, as
the turns here do. What its dataset_info.json may say is in its data/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from ray_jobs.datasets.words import question
from ray_jobs.output.rounds import with_thoughts

Row = Mapping[str, Any]
_TEXT = pa.string()
Reasoning = Literal["omit", "field", "inline"]
"""What becomes of what a responder thought: nothing, a field of its turn, or tags before its answer."""
REASONING_FIELD = "reasoning_content"


@dataclass(frozen=True)
class Format:
    """A format: the columns that it is made from, its schema, how to make rows, and its LLaMA-Factory description.

    A record in which a column of `needs` is null has no row; one of `takes` may be null. `hint` is told where no record
    has all that is needed.
    """

    name: str
    needs: Sequence[str]
    schema: pa.Schema
    rows: Callable[[Row], list[dict[str, Any]]]
    description: Mapping[str, Any]
    hint: str = ""
    takes: Sequence[str] = ()

    def described(self, folder: str) -> dict[str, Any]:
        """The entry of dataset_info.json for files in `folder`, which is beside it."""
        return {"file_name": folder, **self.description}


def _schema(**columns: pa.DataType) -> pa.Schema:
    """`record_id`, by which a row is found again in the data, and these columns."""
    return pa.schema([pa.field("record_id", _TEXT), *(pa.field(name, kind) for name, kind in columns.items())])


def _turns(*fields: str) -> pa.DataType:
    return pa.list_(pa.struct([pa.field(field, _TEXT) for field in fields]))


def _asked(row: Row) -> str:
    return question(row["instruction"], row["input"])


def _with_inline(rows: Callable[[Row], list[dict[str, Any]]]) -> Callable[[Row], list[dict[str, Any]]]:
    return lambda row: rows({**row, "output": with_thoughts(row["reasoning"], str(row["output"]))})


def _with_field(turns: str, rows: Callable[[Row], list[dict[str, Any]]]) -> Callable[[Row], list[dict[str, Any]]]:
    def add(row: Row) -> list[dict[str, Any]]:
        (made,) = rows(row)
        made[turns][-1][REASONING_FIELD] = row["reasoning"]
        return [made]

    return add


def _columns(row: Row) -> list[dict[str, Any]]:
    return [dict(row)]


def _sharegpt(row: Row) -> list[dict[str, Any]]:
    turns = [{"from": "human", "value": _asked(row)}, {"from": "gpt", "value": row["output"]}]
    return [{"record_id": row["record_id"], "conversations": turns}]


def _messages(row: Row) -> list[dict[str, Any]]:
    turns = [{"role": "user", "content": _asked(row)}, {"role": "assistant", "content": row["output"]}]
    return [{"record_id": row["record_id"], "messages": turns}]


def _pairs(row: Row) -> list[dict[str, Any]]:
    return [{**_task(row), "chosen": row["output"], "rejected": worse} for worse in row["rejected_outputs"]]


def _pairs_with_margins(row: Row) -> list[dict[str, Any]]:
    margins = [abs(row["answer_score"] - score) for score in row["rejected_scores"]]
    return [{**pair, "margin": margin} for pair, margin in zip(_pairs(row), margins, strict=True)]


def _labelled(row: Row) -> list[dict[str, Any]]:
    """The answer that is preferred, once, and each that it is preferred to."""
    answers = [(row["output"], True), *((worse, False) for worse in row["rejected_outputs"])]
    return [{**_task(row), "completion": text, "label": label} for text, label in answers]


def _task(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("record_id", "instruction", "input")}


_ANSWERED = ("record_id", "instruction", "input", "output")
_PREFERRED = (*_ANSWERED, "rejected_outputs")
ALPACA = Format(
    "alpaca",
    _ANSWERED,
    _schema(instruction=_TEXT, input=_TEXT, output=_TEXT),
    _columns,
    {
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    },
)
SHAREGPT = Format(
    "sharegpt",
    _ANSWERED,
    _schema(conversations=_turns("from", "value")),
    _sharegpt,
    {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    },
)
MESSAGES = Format(
    "messages",
    _ANSWERED,
    _schema(messages=_turns("role", "content")),
    _messages,
    {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
)
_NO_PAIRS = (
    "The format needs pairs of answers to the same question of which one is known to be better, as AutoIF finds them, "
    "and runs with responder.answers; where each instruction has one answer there are none"
)
DPO = Format(
    "dpo",
    _PREFERRED,
    _schema(instruction=_TEXT, input=_TEXT, chosen=_TEXT, rejected=_TEXT),
    _pairs,
    {
        "formatting": "alpaca",
        "ranking": True,
        "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
    },
    _NO_PAIRS,
)
REWARD = Format(
    "reward",
    (*_PREFERRED, "answer_score", "rejected_scores"),
    _schema(instruction=_TEXT, input=_TEXT, chosen=_TEXT, rejected=_TEXT, margin=pa.float64()),
    _pairs_with_margins,
    DPO.description,
    _NO_PAIRS,
)
KTO = Format(
    "kto",
    _PREFERRED,
    _schema(instruction=_TEXT, input=_TEXT, completion=_TEXT, label=pa.bool_()),
    _labelled,
    {
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "completion", "kto_tag": "label"},
    },
    _NO_PAIRS,
)
_TURNS = {"sharegpt": ("conversations", "from", "value"), "messages": ("messages", "role", "content")}
"""The formats that have turns: their column, and the fields of a turn."""


def with_reasoning(wanted: Format, how: Reasoning) -> Format | None:
    """`wanted` with what responders thought, as `how` says; None for a format that has no turns to hold it."""
    if how == "omit":
        return wanted
    if wanted.name not in _TURNS:
        return None
    takes = ("reasoning",)
    if how == "inline":
        return replace(wanted, takes=takes, rows=_with_inline(wanted.rows))
    turns, *fields = _TURNS[wanted.name]
    schema = _schema(**{turns: _turns(*fields, REASONING_FIELD)})
    return replace(wanted, takes=takes, schema=schema, rows=_with_field(turns, wanted.rows))
