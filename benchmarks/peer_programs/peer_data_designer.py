"""NeMo Data Designer: three text columns, each written of the one before, resumed where that is possible."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

STEPS = 3


def main(url: str, seeds: str, out: str, at_once: int) -> None:
    """Begin, or go on with the batches that are whole."""
    import data_designer.config as dd
    from data_designer.config.run_config import ResumeMode
    from data_designer.interface import DataDesigner

    model = dd.ModelConfig(
        alias="m",
        model="m",
        provider="here",
        inference_parameters=dd.ChatCompletionInferenceParams(max_parallel_requests=at_once),
        skip_health_check=True,
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.LocalFileSeedSource(path=seeds))
    before = "instruction"
    for step in range(STEPS):
        column = dd.LLMTextColumnConfig(name=f"step{step}", model_alias="m", prompt=f"Make harder: {{{{ {before} }}}}")
        builder.add_column(column)
        before = f"step{step}"
    provider = dd.ModelProvider(name="here", endpoint=url, api_key="none")
    count = len(Path(seeds).read_text(encoding="utf-8").splitlines())
    designer = DataDesigner(artifact_path=out, model_providers=[provider])
    designer.create(builder, num_records=count, resume=ResumeMode.IF_POSSIBLE)


if __name__ == "__main__":
    if sys.argv[1] == "version":
        print(f"data-designer {version('data-designer')}")
    else:
        main(*sys.argv[1:4], int(sys.argv[4]))
