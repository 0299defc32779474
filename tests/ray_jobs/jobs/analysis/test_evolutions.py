"""Evolved instructions as replies to their evolve prompts, wherever their parents ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evolve.prompts import load_template
from evolve.strategies.auto_evol import load_method
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.datasets.source import open_source
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.evolutions import EvolvePrompts, evolutions
from ray_jobs.output.epochs import add_part
from ray_jobs.output.parts import write_part
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED, REJECTED_SCHEMA
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import publish, write_output
from tests.ray_jobs.jobs.analysis.measured import evolved
from tests.ray_jobs.samples import new_epoch


def prompts_of(store: Store) -> list[dict[str, Any]]:
    return [row for batch in evolutions(open_source(store), EvolvePrompts.load(None)) for row in batch]


def run_of(folder: Path, records: list[dict[str, Any]]) -> Store:
    store = open_store(str(folder))
    write_output(store, [records])
    return store


def test_an_evolved_instruction_is_the_reply_to_its_evolve_prompt(tmp_path: Path) -> None:
    first = evolved(0)
    second = evolved(1, first, f"method:{load_method().digest()}")
    rows = prompts_of(run_of(tmp_path / "run", [first, second]))
    assert [row["output"] for row in rows] == [first["instruction"], second["instruction"]]
    deepen = load_template("evol_instruct/deepen", {"instruction"}, {"input"})
    assert rows[0]["instruction"] == deepen.render(instruction=first["seed_instruction"], input=first["input"])
    assert rows[1]["instruction"] == load_method().render(instruction=first["instruction"])
    assert {row["input"] for row in rows} == {""}
    with pytest.raises(ConfigError, match="keep_rounds: all"):
        prompts_of(run_of(tmp_path / "last", [second]))
    with pytest.raises(ConfigError, match="operator own of the records"):
        prompts_of(run_of(tmp_path / "own", [evolved(0, operator="own")]))


def test_a_parent_whose_answer_was_rejected_is_one_all_the_same(tmp_path: Path) -> None:
    """The instruction was fit to be evolved; that its answer was not has nothing to do with its children."""
    parent = evolved(0) | {"status": REJECTED, "stage": "respond", "reason": "empty"}
    child = evolved(1, parent, f"method:{load_method().digest()}")
    kept, others = (
        pa.Table.from_pylist([item], schema) for item, schema in ((child, RECORD_SCHEMA), (parent, REJECTED_SCHEMA))
    )
    store = run_of(tmp_path / "run", [evolved(3)])
    epoch = new_epoch(store)
    entry = write_part(store, epoch.lease.tag, kept, others, np.array([0]))
    add_part(store, epoch.lease, entry)
    publish(epoch)
    by_reply = {row["output"]: row["instruction"] for row in prompts_of(store)}
    assert by_reply.keys() == {child["instruction"], evolved(3)["instruction"]}
    assert by_reply[child["instruction"]] == load_method().render(instruction=parent["instruction"])
    select(store, open_store(str(tmp_path / "chosen")), Rule("ic_ifd", top=2), say=lambda _: None)
    with pytest.raises(ConfigError, match="a selection"):
        prompts_of(open_store(str(tmp_path / "chosen")))
