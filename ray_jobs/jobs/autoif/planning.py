"""What each phase has to do, planned from what the phase before it has kept.

A plan only grows, as in ray_jobs.output.plan: when failed rows of an earlier phase have been run again, or there are
more queries, what is planned stays, and what is new is added. An instruction keeps the queries that it was paired with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evolve.autoif.duplicates import Duplicates
from evolve.autoif.queries import pair, usable_queries
from evolve.autoif.rules import Order, Rules
from ray_jobs.datasets.words import question
from ray_jobs.errors import SeedError
from ray_jobs.jobs.autoif.rounds import as_json
from ray_jobs.output import accept
from ray_jobs.output.file_names import DATA
from ray_jobs.output.gone import OnGone, settle_gone
from ray_jobs.output.part_files import pieces
from ray_jobs.output.plan import QUERY_FELL, PlanWriter, digest, unreadable
from ray_jobs.output.plan_files import read_plan_file
from ray_jobs.output.plan_index import UNREADABLE, PlanIndex
from ray_jobs.seeds.idset import IdSet
from ray_jobs.seeds.read import Seed, SeedSource, read_seeds, seed_id, signature
from ray_jobs.storage.store import Store

FILE_ROWS = 8192
Row = dict[str, Any]


@dataclass(frozen=True)
class Planner:
    """Plans one phase. `key` is a digest of the settings that determine a row."""

    writer: PlanWriter
    key: str

    def calls(self, constraints: Sequence[str], evolvers: Sequence[str], calls: int) -> PlanIndex:
        """One row a call for new instructions: all constraints, for each evolver."""
        index = self.writer.index
        if index.signature:
            return index
        text = "\n".join(constraints)
        seed = seed_id(text, "")
        for evolver in evolvers:
            rows = [
                self._row(digest(seed, self.key, evolver, str(call)), seed, 0, evolver, text) | {"sample": call}
                for call in range(calls)
            ]
            self._add(evolver, rows)
        index.seeds = len(constraints)
        return self._saved("calls")

    def instructions(
        self, source: Store, constraints: Sequence[str], evolvers: Sequence[str], near_duplicate: float | None
    ) -> PlanIndex:
        """One row an instruction and evolver: the constraints, and what the evolver's calls in `source` gave.

        One that is too much like an earlier one of its evolver is planned with the reason for which it falls.
        """
        index, now = self.writer.index, _state(source)
        if index.signature == now:
            return index
        written = _written(source)
        for evolver in evolvers:
            offered = {digest("constraint", text): text for text in constraints} | written.get(evolver, {})
            self._add(evolver, list(self._told_apart(index, evolver, offered, near_duplicate)))
        return self._saved(now)

    def answers(
        self, source: Store, queries: SeedSource, rules: Rules, run_seed: int, gone: OnGone = "refuse"
    ) -> PlanIndex:
        """One row an instruction that `source` holds and query that it is paired with.

        What becomes of rows whose query is not among the `queries` any more, `gone` says; an instruction all of whose
        rows are retracted is paired anew. Raises SeedError where no query can be used, and SeedsChanged.
        """
        index, now = self.writer.index, digest(_state(source), signature(queries))
        if index.signature == now:
            return index
        before = list(index.files)
        usable, seen = self._queries(index, queries, rules)
        settle_gone(self.writer.store, index, before, seen, gone)
        index.seeds = len(usable) + index.gone_seeds
        contexts = pc.unique(_planned(self.writer.store, index, ["context"])["context"]).to_pylist()
        paired = {json.loads(context)["instruction_id"] for context in contexts}
        texts, rows = list(usable), dict[str, list[Row]]()
        for record in _kept(source, ["row_id", "evolver", "instruction", "output"]):
            if record["row_id"] not in paired:
                drawn = pair(texts, rules.queries, Random(f"{run_seed} pair {record['row_id']}"))
                places = [usable[text] for text in drawn]
                rows.setdefault(record["evolver"], []).extend(self._answer_rows(record, places, rules.order))
        for evolver, planned in rows.items():
            self._add(evolver, planned)
        return self._saved(now)

    def _told_apart(
        self, index: PlanIndex, evolver: str, offered: Mapping[str, str], near_duplicate: float | None
    ) -> Iterator[Row]:
        before = _planned(self.writer.store, index, ["seed_id", "seed_instruction", "seed_reason"], evolver).to_pylist()
        known, seen = {row["seed_id"] for row in before}, Duplicates(near_duplicate)
        seen.add_all(row["seed_instruction"] for row in before if row["seed_reason"] is None)
        for identity, text in offered.items():
            if identity in known:
                continue
            again = seen.add(text)
            row = self._row(digest(identity, self.key, evolver), identity, index.seeds, evolver, text)
            if again:
                index.duplicates += 1
                row |= {"seed_reason": again[0], "seed_error": f"of: {again[1]}"}
            else:
                index.seeds += 1
            yield row

    def _queries(self, index: PlanIndex, source: SeedSource, rules: Rules) -> tuple[dict[str, tuple[int, Seed]], IdSet]:
        """The usable queries by their text, with their place, and the ids of all that were read.

        Those that cannot be used are planned as rows that fall.
        """
        seeds, dropped, seen = list[Seed](), list[Row](), IdSet()
        for batch in read_seeds(source):
            seeds += batch.seeds
            dropped += [unreadable(bad) for bad in batch.bad]
            seen.add([bytes.fromhex(seed.seed_id) for seed in batch.seeds])
            seen.add([bytes.fromhex(bad.seed_id) for bad in batch.bad])
            index.duplicates, index.seed_notes = batch.report.duplicates, batch.report.lines()
        places = {question(seed.instruction, seed.input): (place, seed) for place, seed in enumerate(seeds)}
        kept, short = usable_queries(list(places), rules.query_characters)
        if not kept:
            low, high = rules.query_characters
            raise SeedError(
                f"{', '.join(source.paths)}: none of {len(seeds):,} queries has more than {low} and fewer than {high} "
                "characters (strategy.query_characters)"
            )
        dropped += [_dropped_query(places[item.text][1], item.reason, item.detail) for item in short]
        known = set(_planned(self.writer.store, index, ["seed_id"], UNREADABLE)["seed_id"].to_pylist())
        new = [row for row in dropped if row["seed_id"] not in known]
        index.unreadable.update(row["seed_reason"] for row in new)
        self._add(UNREADABLE, new)
        return {text: places[text] for text in kept}, seen

    def _answer_rows(self, record: Row, queries: Sequence[tuple[int, Seed]], order: Order) -> Iterator[Row]:
        functions = [function["source"] for function in json.loads(record["output"])]
        about = {"instruction_id": record["row_id"], "instruction": record["instruction"], "functions": functions}
        context = as_json(about)
        for place, query in queries:
            row_id = digest(query.seed_id, self.key, record["row_id"])
            row = self._row(row_id, query.seed_id, place, record["evolver"], query.instruction)
            whole = question(query.instruction, query.input)
            yield row | {"input": whole if order == "constraint_first" else query.input, "context": context}

    def _row(self, row_id: str, seed: str, index: int, evolver: str, text: str) -> Row:
        return {
            "row_id": row_id,
            "seed_id": seed,
            "seed_index": index,
            "evolver": evolver,
            "sample": 0,
            "seed_instruction": text,
            "input": "",
        }

    def _add(self, evolver: str, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), FILE_ROWS):
            self.writer.add(evolver, rows[start : start + FILE_ROWS])

    def _saved(self, now: str) -> PlanIndex:
        self.writer.index.signature = now
        self.writer.commit()
        return self.writer.index


def _dropped_query(seed: Seed, reason: str, detail: str) -> Row:
    return {
        "row_id": seed.seed_id,
        "seed_id": seed.seed_id,
        "seed_instruction": seed.instruction,
        "input": seed.input,
        "seed_reason": f"{QUERY_FELL}{reason}",
        "seed_error": detail,
    }


def _state(source: Store) -> str:
    """A digest of what a finished phase has committed."""
    return digest(*sorted(entry.name for entry in accept.load(source).parts))


def _kept(source: Store, columns: Sequence[str]) -> list[Row]:
    """The kept records of a finished phase, in the order of its plan."""
    tables = [
        records.select([*columns, "plan_row"])
        for entry in accept.load(source).parts
        for folder, records in pieces(source, entry)
        if folder == DATA
    ]
    return pa.concat_tables(tables).sort_by("plan_row").to_pylist() if tables else []


def _written(source: Store) -> dict[str, dict[str, str]]:
    """What calls gave, by evolver: each instruction under an id of its call and place."""
    written: dict[str, dict[str, str]] = {}
    for record in _kept(source, ["row_id", "evolver", "trajectory"]):
        for index, text in enumerate(json.loads(record["trajectory"])["instructions"]):
            written.setdefault(record["evolver"], {})[digest(record["row_id"], str(index))] = text
    return written


def _planned(store: Store, index: PlanIndex, columns: Sequence[str], evolver: str | None = None) -> pa.Table:
    """Rows that are planned and not retracted, of one folder of the plan or of all evolvers', by some columns."""
    wanted = [file for file in index.files if file.evolver == evolver or (not evolver and file.evolver != UNREADABLE)]
    retracted = pa.array(index.retracted)
    tables = [read_plan_file(store, file, [*columns, "plan_row"]) for file in wanted]
    if not tables:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    rows = pa.concat_tables(tables)
    return rows.filter(pc.invert(pc.is_in(rows["plan_row"], retracted))).select(list(columns))
