"""Which settings change results. A run goes on only under the settings that it was begun with.

Everything counts unless it is listed here: an output in which two settings are mixed is worth less than an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ray_jobs.config.run import OutputConfig
from ray_jobs.config.secret_names import FROM, concealed_setting, is_secret_name, shown_path

# Fields, as paths, that say where and how fast, not what. Seeds are here because a run's seeds may grow. Evolvers and
# engines go by "*" in them, for one may have any name, such as "pool".
_ENGINE = r"((evolvers|engines)/\*|responder|judge|analysis/judge)/engine"
_SAMPLING = r"(strategy/(\w+_)?sampling|responder/sampling|sampling/\w+)"
HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        r"output|source|(storage|seeds|limits|ray|finish)(/.*)?",
        r"((evolvers|engines)/\*|responder|scorer|judge|nli|analysis/(judge|encoder|reward))/pool/.*",
        r"templates|strategy/(templates|method|constraints|preset)|strategy/sandbox/(servers|allow_missing)",
        r"analysis/templates|analysis/encoder/(device|batch|threads)|analysis/reward/(device|token_budget)",
        rf"{_ENGINE}/(url|key_variable|timeout_seconds|retries)",
        rf"{_ENGINE}/environment/.*",
        rf"{_ENGINE}/(load_seconds|slots|prefill_rate|decode_rate|die_after|exit_code|marks|call_log|slot_log)",
        rf"{_ENGINE}/arguments/(tensor_parallel_size|pipeline_parallel_size|data_parallel_size)",
        rf"{_ENGINE}/arguments/(gpu_memory_utilization|max_num_seqs|max_num_batched_tokens|enforce_eager)",
        rf"{_ENGINE}/arguments/(enable_prefix_caching|enable_chunked_prefill|swap_space|block_size|download_dir)",
        r"scorer/(device|attention|compiled|bfloat16_pairs|token_budget|threads)|nli/(device|batch_size)",
        r"scorer/reward/(device|token_budget)",
    )
)
ADDED: tuple[tuple[re.Pattern[str], Any], ...] = tuple(
    (re.compile(pattern), value)
    for pattern, value in (
        (r"strategy/order", "query_first"),
        (r"strategy/keep_truncated", False),
        (r"strategy/leaked_reasoning", False),
        (r"strategy/quality_tokens", 256),
        (r"confidence_share", 1.0),
        (r"(strategy|analysis)/forms", False),
        (r"responder/prompt", "bare"),
        (r"((strategy|search)/)?elimination/leaked_reasoning", False),
        (rf"{_ENGINE}/reasoning", "none"),
        (rf"{_ENGINE}/reasoning_tokens", None),
        (rf"{_ENGINE}/system", ""),
        (rf"{_ENGINE}/chat_template", None),
        (r"(scorer|analysis)/reward/trust_remote_code", False),
        (rf"{_SAMPLING}/top_k", 0),
        (rf"{_SAMPLING}/min_p", 0.0),
        (rf"{_SAMPLING}/repetition_penalty", 1.0),
        (rf"{_SAMPLING}/presence_penalty", 0.0),
        (r"analysis/max_tokens", 32),
        (r"analysis/with_input", True),
    )
)
"""Fields that came after the first version, each with the value under which results are as they were without it.

At that value they are left out, so that an output which was begun before them goes on.
"""
ABSENT = "nothing"
BY_VARIABLE = f".{FROM}"
Path = tuple[str, ...]


def result_settings(config: OutputConfig, weights_count: bool = True) -> dict[str, Any]:
    """The settings that change results, by dotted path. Evolvers' weights do only where seeds are split by them.

    Secrets are none of them: one under a name that tells it is left out, of another the variable's name remains.
    """
    return {
        ".".join(path): value
        for path, value in _flatten((), config.model_dump(mode="json"))
        if not (_is_harmless(path, weights_count) or _is_secret(path) or _as_before(path, value))
    }


def fingerprint(settings: Mapping[str, Any]) -> str:
    """A digest of result settings; the run's id."""
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line a field that differs, such as "strategy.rounds: 2 before, 3 now".

    What may be secret is neither compared nor shown. Outputs of the first versions hold it among their settings.
    """
    before, now = _comparable(before), _comparable(now)
    unknown = _by_variable(before) ^ _by_variable(now)
    return [
        f"{shown_path([path])}: {_shown(before, path)} before, {_shown(now, path)} now"
        for path in sorted({*before, *now})
        if before.get(path, ABSENT) != now.get(path, ABSENT) and path.removesuffix(BY_VARIABLE) not in unknown
    ]


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without secrets."""
    return {path: concealed_setting((), value) for path, value in settings.items() if not _is_secret(path.split("."))}


def _by_variable(settings: Mapping[str, Any]) -> set[str]:
    """The arguments of engines that an environment variable gives, whose values nobody knows."""
    return {path.removesuffix(BY_VARIABLE) for path in settings if path.endswith(BY_VARIABLE) and ".arguments." in path}


def _is_secret(path: Sequence[str]) -> bool:
    """Whether an argument of an engine is secret by its name, or by that of a group in which it stands."""
    if "arguments" not in path:
        return False
    return any(is_secret_name(name) for name in path[path.index("arguments") + 1 :])


def _shown(settings: Mapping[str, Any], path: str) -> str:
    return json.dumps(settings[path]) if path in settings else ABSENT


def _as_before(path: Path, value: Any) -> bool:
    general = _general(path)
    return any(pattern.fullmatch(general) and value == before for pattern, before in ADDED)


def _is_harmless(path: Path, weights_count: bool) -> bool:
    general = _general(path)
    if general == "evolvers/*/weight":
        return not weights_count
    return any(pattern.fullmatch(general) for pattern in HARMLESS)


def _general(path: Path) -> str:
    return "/".join((*path[:1], "*", *path[2:]) if path[0] in ("evolvers", "engines") else path)


def _flatten(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten((*path, key), item)
    else:
        yield path, value
