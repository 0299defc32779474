"""The dataset card: a README with the header that dataset viewers read."""

from __future__ import annotations

from typing import Any

from ray_jobs.output.columns import HEADLINES


def make_card(report: dict[str, Any], title: str, paragraph: str) -> bytes:
    """The dataset card: a README with the YAML header that dataset viewers read."""
    records = report["records"]
    return f"""---
language:
- en
task_categories:
- text-generation
tags:
- synthetic
- instruction-tuning
configs:
- config_name: default
  data_files: data/*.parquet
---
# {title}

{paragraph}

{records["kept"]:,} kept records from {report["seeds"]["usable"]:,} seeds. Run `{report["run_id"]}`.

| evolver | round | kept | rejected | failed | {" | ".join(f"mean {item.label}" for item in HEADLINES)} |
|---|---|---|---|---|{"---|" * len(HEADLINES)}
{_card_rows(report)}

`data/` holds the kept records; `rejected/` the {records["rejected"]:,} rejected and {records["failed"]:,} failed
ones with their reasons. Whoever publishes this set chooses its licence, within what the seeds and the models allow.
""".encode()


def _card_rows(report: dict[str, Any]) -> str:
    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.4f}"

    return "\n".join(
        f"| {group['evolver']} | {group['round']} | {group['kept']:,} | {group['rejected']:,} | {group['failed']:,} "
        f"| {' | '.join(cell(group.get(item.mean_name)) for item in HEADLINES)} |"
        for group in report["groups"]
    )
