"""Records to measure, and what an analysis of them leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from ray_jobs.jobs.analysis.analyse import analyse, folder_of
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import record, write_output

RECORDS = [record(number, sample=0) for number in range(60)]
"""Of twelve seeds, two evolvers and three rounds."""


def write_source(folder: Path) -> Path:
    """RECORDS in two parts, as the output of a run in `folder`."""
    write_output(open_store(str(folder / "run")), [RECORDS[:33], RECORDS[33:]])
    return folder / "run"


def config(source: Path, kind: str, **analysis: Any) -> AnalysisRunConfig:
    raw = {"source": str(source), "output": folder_of(str(source), kind), "analysis": {"kind": kind, **analysis}}
    return AnalysisRunConfig.model_validate(raw)


def quiet(*arguments: Any) -> list[dict[str, Any]]:
    return analyse(*arguments, say=lambda _: None)


def rows(source: Path, name: str, folder: str = "data") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ds.dataset(source / "analyses" / name / folder).to_table().to_pylist()
    return found


def evolved(number: int, parent: dict[str, Any] | None = None, operator: str = "deepen") -> dict[str, Any]:
    """A record of round 1, or one that was evolved from `parent`."""
    item = record(number, sample=0, operator=operator)
    return item | {"parent_id": parent["record_id"] if parent else item["seed_id"]}
