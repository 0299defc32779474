"""Which settings change results. A run goes on only under the settings that it was begun with.

Everything counts unless it is listed here: an output in which two settings are mixed is worth less than an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from evolve.flow import Strategy
from ray_jobs.config import RunConfig

# Fields, as dotted paths, that say where and how fast, not what. Seeds are here because a run's seeds may grow.
HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        r"output|storage(\..*)?|seeds(\..*)?|limits\..*|ray\..*",
        r"(.*\.)?pool\..*",
        r"strategy\.templates",
        r".*\.engine\.(url|key_variable|timeout_seconds|retries)",
        r".*\.engine\.environment\..*",
        r".*\.engine\.(slots|prefill_rate|decode_rate|die_after|exit_code|marks|call_log)",
        r".*\.engine\.arguments\.(tensor_parallel_size|pipeline_parallel_size|data_parallel_size)",
        r".*\.engine\.arguments\.(gpu_memory_utilization|max_num_seqs|max_num_batched_tokens|enforce_eager)",
        r".*\.engine\.arguments\.(enable_prefix_caching|enable_chunked_prefill|swap_space|block_size|download_dir)",
        r"scorer\.(device|attention|token_budget|threads)",
    )
)
ABSENT = "nothing"


def result_settings(run: RunConfig, strategy: Strategy) -> dict[str, Any]:
    """The settings that change results, by dotted path, and the strategy's fingerprint (templates included)."""
    flat = dict(_flatten("", run.model_dump(mode="json")))
    if run.sharing == "every":
        flat = {path: value for path, value in flat.items() if not re.fullmatch(r"evolvers\..*\.weight", path)}
    kept = {path: value for path, value in flat.items() if not any(one.fullmatch(path) for one in HARMLESS)}
    return kept | {"strategy.fingerprint": strategy.fingerprint()}


def fingerprint(settings: Mapping[str, Any]) -> str:
    """A digest of result settings; the run's id."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line a field that differs, such as "strategy.rounds: 2 before, 3 now"."""
    return [
        f"{path}: {_shown(before, path)} before, {_shown(now, path)} now"
        for path in sorted({*before, *now})
        if before.get(path, ABSENT) != now.get(path, ABSENT)
    ]


def _shown(settings: Mapping[str, Any], path: str) -> str:
    return json.dumps(settings[path]) if path in settings else ABSENT


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _flatten(f"{path}.{key}" if path else key, one)
    else:
        yield path, value
