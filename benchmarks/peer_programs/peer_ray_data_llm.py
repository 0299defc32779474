"""ray.data.llm: three HTTP processors in a row, and Ray Data's checkpoint of rows that are written."""

from __future__ import annotations

import sys
from typing import Any

import ray
from ray.data.checkpoint import CheckpointConfig
from ray.data.llm import HttpRequestProcessorConfig, build_processor

STEPS = 3


def asked(row: dict[str, Any]) -> dict[str, Any]:
    """The request of one step."""
    messages = [{"role": "user", "content": f"Make harder: {row['instruction']}"}]
    return {"payload": {"model": "m", "messages": messages}, "id": row["id"]}


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """What the next step begins with."""
    return {"id": row["id"], "instruction": row["http_response"]["choices"][0]["message"]["content"]}


def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Begin, or go on with what the checkpoint holds."""
    ray.init(num_cpus=2 + STEPS)
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=f"{out}-checkpoint", delete_checkpoint_on_success=False
    )
    rows = ray.data.read_json(seeds)
    for _ in range(STEPS):
        config = HttpRequestProcessorConfig(
            url=f"{url}/chat/completions", concurrency=1, batch_size=at_once // STEPS, max_retries=3
        )
        rows = build_processor(config, preprocess=asked, postprocess=answered)(rows)
    rows.write_parquet(out)


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"ray.data.llm {ray.__version__}, checkpoint on")
    else:
        main(*sys.argv[1:4], int(sys.argv[4]))
