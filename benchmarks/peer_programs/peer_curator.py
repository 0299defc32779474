"""Curator: three LLM calls one after the other over the whole set, its cache of answers on disk."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STEPS, ENDLESS = 3, 10_000_000


def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Begin, or go on with what was kept."""
    os.environ.update(CURATOR_CACHE_DIR=f"{out}-cache", TELEMETRY_ENABLED="false", OPENAI_API_KEY="none")
    # without a network: litellm, which comes with it, carries the encoding that it would fetch
    (package,) = find_spec("litellm").submodule_search_locations  # type: ignore[union-attr,misc]
    os.environ["TIKTOKEN_CACHE_DIR"] = f"{package}/litellm_core_utils/tokenizers"
    from bespokelabs import curator

    class Harder(curator.LLM):  # type: ignore[misc]
        """One step."""

        def prompt(self, input: dict[str, Any]) -> str:
            """What is asked."""
            return f"Make harder: {input['instruction']}"

        def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
            """What the next step begins with."""
            return {"id": input["id"], "instruction": response}

    rows: Any = [json.loads(line) for line in Path(seeds).read_text(encoding="utf-8").splitlines()]
    for _ in range(STEPS):
        limits = {"max_requests_per_minute": ENDLESS, "max_tokens_per_minute": 100 * ENDLESS}
        params = {"base_url": url, "api_key": "none", "max_concurrent_requests": at_once, **limits}
        rows = Harder(model_name="m", backend="openai", backend_params=params)(rows).dataset
    rows.to_parquet(out)


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"Curator {version('bespokelabs-curator')}")
    else:
        main(*sys.argv[1:4], int(sys.argv[4]))
