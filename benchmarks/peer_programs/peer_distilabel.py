"""distilabel: three tasks in a row on an OpenAI-compatible server, its cache of batches on disk."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

STEPS = 3


def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Begin, or go on with the batches that were kept."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    rows = [json.loads(line) for line in Path(seeds).read_text(encoding="utf-8").splitlines()]
    size = max(1, at_once // STEPS)
    with Pipeline("peers", cache_dir=f"{out}-cache") as pipeline:
        before = LoadDataFromDicts(name="seeds", data=rows, batch_size=size)
        for step in range(STEPS):
            task = TextGeneration(
                name=f"step{step}",
                llm=OpenAILLM(model="m", base_url=url, api_key="none", structured_output=None),
                template="Make harder: {{ instruction }}",
                input_batch_size=size,
                output_mappings={"generation": "instruction"} if step < STEPS - 1 else {},
            )
            before >> task
            before = task
    pipeline.run(use_cache=True).save_to_disk(out)


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"distilabel {version('distilabel')}")
    else:
        main(*sys.argv[1:4], int(sys.argv[4]))
