"""Plans that grow with what the phase before has kept, and leave alone what was planned."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evolve.autoif.augment import Augmented
from evolve.autoif.responses import Verified
from evolve.autoif.rules import PAPER, Order
from evolve.records import Response, Usage
from ray_jobs.errors import SeedError, SeedsChanged
from ray_jobs.jobs.autoif.planning import Planner
from ray_jobs.jobs.autoif.rounds import answered_rounds, augmented_round, query_of
from ray_jobs.output import accept
from ray_jobs.output.epochs import add_part
from ray_jobs.output.gone import OnGone
from ray_jobs.output.parts import write_part
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.output.rounds import RoundRow
from ray_jobs.output.schema import KEPT
from ray_jobs.seeds.read import SeedSource
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import finished, new_epoch, outcomes, write_seeds

RULES = replace(PAPER, queries=2, order="query_first")


@pytest.fixture
def source(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "before"))


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(PlanWriter(new_epoch(open_store(str(tmp_path / "plan")))), "key")


def add(source: Store, number: int, round_row: RoundRow, evolver: str = "a") -> None:
    """Commit a part with one row of one record."""
    rows, epoch = finished({number: [round_row]}, evolver), new_epoch(source)
    epoch.add_plan(PlanIndex(rows=10), 0)
    add_part(source, epoch.lease, write_part(source, epoch.lease.tag, *outcomes(rows), rows["plan_row"].to_numpy()))


def call(*instructions: str) -> RoundRow:
    return augmented_round(Augmented(instructions, (), Usage()))


def instruction(text: str) -> RoundRow:
    output = json.dumps([{"source": "def evaluate(response): return True", "accuracy": 1.0}])
    return {"round": 1, "parent_round": 0, "status": KEPT, "instruction": text, "output": output}


def planned(planner: Planner, evolver: str = "a") -> list[dict[str, Any]]:
    index = accept.load(planner.writer.store).index
    tables = [
        pq.read_table(f"{planner.writer.store.url}/{file.path}") for file in index.files if file.evolver == evolver
    ]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).sort_by("plan_row").to_pylist() if tables else []
    assert [row["plan_row"] for row in rows] == sorted({row["plan_row"] for row in rows})
    return rows


def test_calls_are_planned_once_for_each_evolver(planner: Planner) -> None:
    index = planner.calls(["Use no vowels", "Write in rhyme"], ["a", "b"], 3)
    assert (index.rows, index.seeds) == (6, 2)
    assert planner.calls(["Use no vowels", "Write in rhyme"], ["a", "b"], 3) == index
    for evolver in ("a", "b"):
        rows = planned(planner, evolver)
        assert [row["sample"] for row in rows] == [0, 1, 2]
        assert {row["seed_instruction"] for row in rows} == {"Use no vowels\nWrite in rhyme"}
    assert len({row["row_id"] for evolver in ("a", "b") for row in planned(planner, evolver)}) == 6


def test_instructions_of_a_call_that_ran_again_are_added(planner: Planner, source: Store) -> None:
    add(source, 0, call("Use only verbs", "use only verbs!"))
    add(source, 2, call("Name a river"), evolver="b")
    first = planner.instructions(source, ["Use no vowels"], ["a", "b"], 0.8)
    assert (first.rows, first.seeds, first.duplicates) == (5, 4, 1)
    before = planned(planner)
    assert [(row["seed_instruction"], row["seed_reason"]) for row in before] == [
        ("Use no vowels", None),
        ("Use only verbs", None),
        ("use only verbs!", "duplicate"),
    ]
    assert before[2]["seed_error"] == "of: Use only verbs"
    add(source, 1, call("Use no vowels", "Use only nouns", "Use only verbs"))
    again = planner.instructions(source, ["Use no vowels"], ["a", "b"], 0.8)
    assert (again.rows, again.seeds, again.duplicates) == (8, 5, 3)
    rows = planned(planner)
    assert rows[:3] == before
    assert [(row["seed_instruction"], row["seed_reason"]) for row in rows[3:]] == [
        ("Use no vowels", "duplicate"),
        ("Use only nouns", None),
        ("Use only verbs", "duplicate"),
    ]
    assert [row["seed_instruction"] for row in planned(planner, "b")] == ["Use no vowels", "Name a river"]


def test_an_instruction_keeps_its_queries(planner: Planner, source: Store, tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    queries = [f"What is the use of thing number {number}?" for number in range(6)]
    write_seeds(path, [*queries, "Short?"])
    add(source, 0, instruction("Use only verbs"))
    first = planner.answers(source, SeedSource((str(path),)), RULES, 0)
    assert (first.rows, first.seeds, dict(first.unreadable)) == (3, 6, {"query_too_short": 1})
    before = planned(planner)
    assert len({row["seed_instruction"] for row in before}) == 2
    context = json.loads(before[0]["context"])
    assert context["instruction"] == "Use only verbs"
    assert context["functions"] == ["def evaluate(response): return True"]
    write_seeds(path, [*queries, "Short?", "And what is the use of all the other things?"])
    assert planner.answers(source, SeedSource((str(path),)), RULES, 0).rows == 3
    add(source, 1, instruction("Use only nouns"), evolver="b")
    assert planner.answers(source, SeedSource((str(path),)), RULES, 0).rows == 5
    assert planned(planner) == before
    assert len(planned(planner, "b")) == 2
    assert [row["seed_reason"] for row in planned(planner, UNREADABLE)] == ["query_too_short"]


def test_rows_of_queries_that_are_gone_are_named_and_kept_or_retracted_by_a_word(
    planner: Planner, source: Store, tmp_path: Path
) -> None:
    path, rules = tmp_path / "queries.jsonl", replace(RULES, queries=1)
    queries, seeds = [f"What is the use of thing number {number}?" for number in range(6)], SeedSource((str(path),))
    write_seeds(path, [*queries, "Short?"])
    add(source, 0, instruction("Use only verbs"))
    planner.answers(source, seeds, rules, 0)
    (first,) = planned(planner)
    drawn, others = first["seed_instruction"], [text for text in queries if text != first["seed_instruction"]]
    write_seeds(path, others)

    def again(gone: OnGone) -> PlanIndex:
        store = planner.writer.store
        return replace(planner, writer=PlanWriter(new_epoch(store))).answers(source, seeds, rules, 0, gone)

    with pytest.raises(SeedsChanged, match=rf"1 seeds.*1 rows(.|\n)*{re.escape(drawn)}"):
        again("refuse")
    assert len(planned(planner)) == 1, "nothing of a refused run is planned"
    index = again("retract")
    # the query that was too short is gone as well, unasked
    assert (index.retracted.tolist(), index.usable_seeds, dict(index.unreadable)) == ([0, 1], 5, {})
    (_, anew) = planned(planner)
    assert anew["seed_instruction"] in others
    write_seeds(path, [text for text in others if text != anew["seed_instruction"]])
    assert again("keep").retracted.tolist() == [0, 1]
    assert len(planned(planner)) == 2


def test_without_a_usable_query_nothing_is_planned(planner: Planner, source: Store, tmp_path: Path) -> None:
    write_seeds(tmp_path / "queries.jsonl", ["Short?"])
    add(source, 0, instruction("Use only verbs"))
    with pytest.raises(SeedError, match=r"none of 1 queries has more than 20 and fewer than 300 characters"):
        planner.answers(source, SeedSource((str(tmp_path / "queries.jsonl"),)), RULES, 0)
    assert accept.load(planner.writer.store).plan is None


@pytest.mark.parametrize(
    ("order", "instruction_is", "input_is"),
    [
        ("query_first", "What is it good for?\nUse only verbs", "A paper clip."),
        ("constraint_first", "Use only verbs", "What is it good for?\nA paper clip."),
    ],
)
def test_constraint_and_query_stand_in_the_order_of_the_rules(
    planner: Planner, source: Store, tmp_path: Path, order: Order, instruction_is: str, input_is: str
) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(json.dumps({"instruction": "What is it good for?", "input": "A paper clip."}))
    add(source, 0, instruction("Use only verbs"))
    planner.answers(source, SeedSource((str(path),)), replace(RULES, order=order), 0)
    (row,) = planned(planner)
    assert (row["seed_instruction"], row["input"]) == ("What is it good for?", input_is)
    assert query_of(row, order) == "What is it good for?\nA paper clip."
    verified = Verified(Response("Clip.", "stop", Usage()))
    (item,) = answered_rounds(row, json.loads(row["context"]), [verified], order)
    assert item["instruction"] == instruction_is
