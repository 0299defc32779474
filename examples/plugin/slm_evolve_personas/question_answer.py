"""An export format: a question and its answer, for training programs that know nothing else."""

from __future__ import annotations

import pyarrow as pa

from ray_jobs.datasets.formats import Format, Row

TEXT = pa.string()


def _rows(row: Row) -> list[dict[str, str]]:
    question = f"{row['instruction']}\n{row['input']}".rstrip("\n")
    return [{"record_id": row["record_id"], "question": question, "answer": row["output"]}]


QUESTION_ANSWER = Format(
    name="question_answer",
    needs=("record_id", "instruction", "input", "output"),
    schema=pa.schema([("record_id", TEXT), ("question", TEXT), ("answer", TEXT)]),
    rows=_rows,
    description={"formatting": "alpaca", "columns": {"prompt": "question", "response": "answer"}},
)
