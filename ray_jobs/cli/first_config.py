"""The text of a first configuration: pools sized to the cards, each setting with the reason for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.errors import ConfigError
from ray_jobs.jobs.load import load_config
from ray_jobs.seeds.read import SeedSource


def local_models(folder: Path) -> list[str]:
    """The folders of models below `folder`, by name."""
    return sorted(str(found.parent) for found in folder.glob("*/config.json"))


def write_config(to: Path, seeds: SeedSource, models: Sequence[str], gpus: int, rounds: int, output: str) -> None:
    """Write the configuration to a new file, once its fields are known to be right.

    Each model is an evolver, the last one answers, the first one scores. Raises ConfigError for a wrong setting,
    two models of one name, and a file that exists.
    """
    import yaml

    text = _text(seeds, models, gpus, rounds, output)
    load_config(yaml.safe_load(text))
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot be written: {error.strerror}") from error


def _text(seeds: SeedSource, models: Sequence[str], gpus: int, rounds: int, output: str) -> str:
    names = [model.rstrip("/").rpartition("/")[2] for model in models]
    if len(set(names)) < len(names):
        raise ConfigError(f"--model: expected models of different names, got {', '.join(names)}")
    sizes, whole = _sizes(len(models), gpus), gpus >= len(models) + 2
    read = {"path": seeds.paths[0], "layout": seeds.layout, "columns": dict(seeds.columns)}
    lines = [
        "# Fields and their meaning: `evolve schema run`; any of them can be set with --set NAME=VALUE.",
        f"output: {json.dumps(output)}",
        "",
        "# how seeds are read was guessed from the first of them",
        *_block("seeds", read),
        "",
        *_block("strategy", {"kind": "evol_instruct", "rounds": rounds}),
        "",
        "# each evolver has engines of its own",
        "evolvers:",
    ]
    for name, model, size in zip(names, models, sizes, strict=False):
        lines += [
            f"  {json.dumps(name)}:",
            *_inner({"engine": _engine(model, whole, gpus), "pool": _pool(size, whole, gpus)}, 4),
        ]
    lines += ["", "# answers the evolved instructions; the largest model is the best choice"]
    lines += _block("responder", {"engine": _engine(models[-1], whole, gpus), "pool": _pool(sizes[-2], whole, gpus)})
    lines += ["", "# reads each pair twice, so a small model does"]
    lines += _block("scorer", {"model": models[0], "pool": _pool(sizes[-1], whole, gpus)})
    lines += ["", "# a run that would take more stops first, and goes on when this is raised:"]
    lines += ["# limits: {budget: {gpu_hours: 100}}", ""]
    return "\n".join(lines)


def _sizes(evolvers: int, gpus: int) -> list[int]:
    """Actors of each evolver's pool, the responder's and the scorer's: as many as cards, where each can have one."""
    pools = evolvers + 2
    left = max(0, gpus - pools)
    # the scorer keeps up with one card; evolvers and the responder share what is left
    shared = [1 + left // (pools - 1) + (index < left % (pools - 1)) for index in range(pools - 1)]
    if 0 < gpus < pools and -(-pools // gpus) > 4:
        raise ConfigError(f"--gpus {gpus}: expected a card for each four pools, and there are {pools}")
    return [*shared, 1]


def _pool(size: int, whole: bool, gpus: int) -> dict[str, Any]:
    return {"size": size, "gpus": 1 if whole else 0.25} if gpus else {"size": size}


def _engine(model: str, whole: bool, gpus: int) -> dict[str, Any]:
    if not gpus:
        arguments: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "max_model_len": 1024}
        environment = {"VLLM_CPU_KVCACHE_SPACE": "1"}
        return {"model": model, "arguments": arguments | {"max_num_seqs": 16}, "environment": environment}
    part = 0.9 if whole else 0.22
    return {"model": model, "arguments": {"dtype": "bfloat16", "gpu_memory_utilization": part}}


def _block(name: str, values: Mapping[str, Any]) -> list[str]:
    return [f"{name}:", *_inner(values, 2)]


def _inner(values: Mapping[str, Any], indent: int) -> list[str]:
    # JSON is YAML, and needs no rule for what must be quoted
    return [f"{' ' * indent}{name}: {json.dumps(value)}" for name, value in values.items()]
