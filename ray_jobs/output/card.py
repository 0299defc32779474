"""The dataset card: a README with the header that dataset viewers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import yaml

from ray_jobs.output.columns import HEADLINES
from ray_jobs.output.counts import CUT_SHARE
from ray_jobs.output.file_names import DATA


def card_header(data_files: str | Sequence[Mapping[str, str]], languages: Sequence[str]) -> str:
    """The YAML header: `data_files` is a pattern, or one for each split. Without `languages` it names none."""
    header = {
        **({"language": list(languages)} if languages else {}),
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "instruction-tuning"],
        "configs": [{"config_name": "default", "data_files": data_files}],
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n"


def shown_model(model: str) -> str:
    """A model as readers elsewhere may know it: of a folder the last name, for where it lies is nobody's business.

    So of an adapter, which stands behind its base and a plus.
    """
    return " + ".join(map(_shown, model.split(" + ")))


def _shown(path: str) -> str:
    is_local = path.startswith(("/", "~", ".")) or "\\" in path
    return PurePath(path).name or path if is_local else path


def make_card(report: dict[str, Any], title: str, paragraph: str, languages: Sequence[str]) -> bytes:
    """The card of a run's output, whose texts are in these languages."""
    records = report["records"]
    return f"""{card_header(f"{DATA}/*.parquet", languages)}# {title}

{paragraph}

{records["kept"]:,} kept records from {report["seeds"]["usable"]:,} seeds. Run `{report["run_id"]}`.

| evolver | round | kept | rejected | failed | {" | ".join(f"mean {item.label}" for item in HEADLINES)} | cut answers |
|---|---|---|---|---|{"---|" * len(HEADLINES)}---|
{_card_rows(report)}
{_cut(report)}
`data/` holds the kept records; `rejected/` the {records["rejected"]:,} rejected and {records["failed"]:,} failed
ones with their reasons. Whoever publishes this set chooses its licence, within what the seeds and the models allow.
""".encode()


def _card_rows(report: dict[str, Any]) -> str:
    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    def percent(share: float | None) -> str:
        return "" if share is None else f"{share:.1%}"

    return "\n".join(
        f"| {group['evolver']} | {group['round']} | {group['kept']:,} | {group['rejected']:,} | {group['failed']:,} "
        f"| {' | '.join(cell(group.get(item.mean_name)) for item in HEADLINES)} | {percent(group.get(CUT_SHARE))} |"
        for group in report["groups"]
    )


def _cut(report: dict[str, Any]) -> str:
    if not (share := report.get(CUT_SHARE)):
        return ""
    return (
        f"\n{share:.1%} of the kept responses ran into their token limit: `respond_finish_reason` is `length` there, "
        "and the text may end in the middle of a sentence.\n"
    )
