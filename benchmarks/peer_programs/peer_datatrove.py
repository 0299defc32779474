"""datatrove: an InferenceRunner on an endpoint, three requests a document, its request cache and chunks of 100."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

STEPS = 3


async def rollout(document: Any, generate: Any) -> str:
    """What becomes of a document."""
    text = document.text
    for _ in range(STEPS):
        text = (await generate({"messages": [{"role": "user", "content": f"Make harder: {text}"}]})).text
    return str(text)


def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Begin, or go on with what was kept."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="m",
        endpoint_url=url.removesuffix("/v1"),
        max_concurrent_generations=at_once,
        server_ready_delay_sec=0.1,
    )
    folder, _, name = seeds.rpartition("/")
    runner = InferenceRunner(
        rollout_fn=rollout,
        config=config,
        output_writer=JsonlWriter(f"{out}/data", output_filename="${rank}_${chunk_index}.jsonl", compression=None),
        checkpoints_local_dir=f"{out}/checkpoints",
        records_per_chunk=100,
    )
    LocalPipelineExecutor(
        pipeline=[JsonlReader(folder, glob_pattern=name, text_key="instruction"), runner], logging_dir=f"{out}/logs"
    ).run()


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"datatrove {version('datatrove')}")
    else:
        main(*sys.argv[1:4], int(sys.argv[4]))
