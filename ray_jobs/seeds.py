"""Reads seeds: rows of JSON, JSONL, CSV and Parquet files become instructions with ids from their content.

Rows stream through in batches, so that a hundred million of them need little more memory than their ids.
A row that is no seed comes out as a BadSeed that says where it is and what was expected.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, BinaryIO, Literal

from ray_jobs.errors import ConfigError, SeedError
from ray_jobs.idset import ID_BYTES, IdSet
from ray_jobs.seed_checks import check_files
from ray_jobs.seed_files import Format, SeedFile, find_files
from ray_jobs.seed_formats import Row, read_csv, read_json, read_jsonl, read_parquet, until_damage
from ray_jobs.seed_layouts import ColumnsLayout, Example, Layout, RowProblem, TurnsLayout, shown

BATCH_ROWS = 8192
RAW_CHARACTERS = 2000

LayoutName = Literal["columns", "sharegpt", "messages"]
OnError = Literal["fail_row", "stop"]


@dataclass(frozen=True, slots=True)
class SeedSource:
    """Where seeds are and how to read them.

    `paths` are files, folders or globs, local or any URL that fsspec knows; `storage` goes to fsspec. `columns`
    maps "instruction", "input" and "output" to names in the files. `layout` "sharegpt" reads
    `conversations: [{from, value}]`, "messages" reads `messages: [{role, content}]`: the first user turn becomes
    the instruction, the first assistant turn after it the output; system and later turns are left out and counted.
    With `pairs` a row's output counts for its id, so that two responses to one instruction are two.
    `on_error` "stop" ends at the first bad row. `limit` ends after that many seeds, not counting bad rows.
    """

    paths: tuple[str, ...]
    format: Format = "auto"
    layout: LayoutName = "columns"
    columns: Mapping[str, str] = field(default_factory=dict)
    on_error: OnError = "fail_row"
    limit: int | None = None
    storage: Mapping[str, Any] = field(default_factory=dict)
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class Seed:
    """An instruction to evolve. `seed_id` is 32 hex digits, see seed_id()."""

    instruction: str
    input: str
    output: str
    seed_id: str


@dataclass(frozen=True, slots=True)
class BadSeed:
    """A row that is no seed. `seed_id` comes from the bytes of the row, not from its place.

    `line` counts from 1: the line where the row begins (JSONL, CSV) or the number of the row (Parquet, JSON
    array). `reason` is a class to count by; `message` names file, line, field and what was expected; `raw` is the
    start of the text, at most 2,000 characters.
    """

    source: str
    line: int
    reason: str
    message: str
    raw: str
    seed_id: str


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What became of the rows: read = seeds + duplicates + the sum of `bad`, which counts by reason.

    A duplicate has the id of an earlier row, good or bad. The last two count what the kept seeds' conversations
    lost: their system turns, and the turns after the first answer.
    """

    read: int = 0
    seeds: int = 0
    duplicates: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    system_turns_dropped: int = 0
    later_turns_dropped: int = 0


@dataclass(frozen=True, slots=True)
class SeedBatch:
    """The new seeds and bad rows among some thousand rows, in order; `report` counts from the first row on."""

    seeds: list[Seed]
    bad: list[BadSeed]
    report: SeedReport


def read_seeds(source: SeedSource) -> Iterator[SeedBatch]:
    """Read a source's rows in the order of its files, of equal rows the first.

    The files are found and checked at the call, the rows read as the batches are asked for; the last batch's
    report is the whole one. Raises ConfigError for options that contradict each other; SeedError for files that
    are missing, empty or lack a column, where all files together have no row, and at the first bad row if
    the source says so; StorageError where storage fails.
    """
    layout = _layout(source)
    files = check_files(find_files(source.paths, source.format, source.storage), layout)
    return _batches(source, files, layout)


def signature(source: SeedSource) -> str:
    """A digest that changes when the seeds may have, for which nothing is read.

    It is of the matched files' names, sizes and versions (ETag or time of change) and of the source's options.
    """
    files = find_files(source.paths, source.format, source.storage)
    facts = {
        "files": [(file.url, file.size, file.version) for file in files],
        "options": [source.format, source.layout, sorted(source.columns.items()), source.on_error, source.limit],
    }
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=ID_BYTES).hexdigest()


def seed_id(instruction: str, input: str) -> str:
    """The id of a seed: BLAKE2b-128, in hex, of its instruction and input in UTF-8 with a NUL character between.

    The output is left out, for it changes nothing about what is evolved; texts are taken as they are, so that
    seeds which differ in white space alone are two.
    """
    return _seed_digest(instruction, input).hex()


def _seed_digest(*texts: str) -> bytes:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=ID_BYTES).digest()


def _layout(source: SeedSource) -> Layout:
    if source.layout == "columns":
        return ColumnsLayout(source.columns)
    if source.columns:
        raise ConfigError(f"seeds.columns: expected none with seeds.layout {source.layout}, which sets the names")
    if source.layout == "sharegpt":
        return TurnsLayout("conversations", "from", "value")
    return TurnsLayout("messages", "role", "content")


def _batches(source: SeedSource, files: Sequence[SeedFile], layout: Layout) -> Iterator[SeedBatch]:
    rows = chain.from_iterable(_outcomes(file, layout, source.pairs) for file in files)
    ids, report, left = IdSet(), SeedReport(), source.limit
    while left != 0 and (outcomes := list(islice(rows, BATCH_ROWS))):
        new = ids.add([outcome.digest for outcome in outcomes])
        pairs = list(_up_to(left, zip(outcomes, new.tolist(), strict=True)))
        batch = _batch(pairs, report, source.on_error)
        report = batch.report
        left = None if source.limit is None else source.limit - report.seeds
        yield batch
    if not report.read:
        raise SeedError(f"{', '.join(source.paths)}: {len(files)} files without a single row")


@dataclass(frozen=True, slots=True)
class _Good:
    digest: bytes
    example: Example

    def seed(self) -> Seed:
        return Seed(self.example.instruction, self.example.input, self.example.output, self.digest.hex())


@dataclass(frozen=True, slots=True)
class _Bad:
    digest: bytes
    seed: BadSeed


def _outcomes(file: SeedFile, layout: Layout, pairs: bool) -> Iterator[_Good | _Bad]:
    with file.open() as content:
        for row in until_damage(_rows(file, content, layout)):
            try:
                example = _example(row.value, layout)
            except RowProblem as problem:
                yield _bad(file, row, problem)
            else:
                texts = (example.instruction, example.input, *([example.output] if pairs else []))
                yield _Good(_seed_digest(*texts), example)


def _rows(file: SeedFile, content: BinaryIO, layout: Layout) -> Iterator[Row]:
    if file.format == "parquet":
        return read_parquet(content, layout.names)
    return {"json": read_json, "jsonl": read_jsonl, "csv": read_csv}[file.format](content)


def _example(value: object, layout: Layout) -> Example:
    if isinstance(value, RowProblem):
        raise value
    if not isinstance(value, dict):
        raise RowProblem("not_an_object", f"expected a JSON object, got {shown(value)}")
    return layout.read(value)


def _bad(file: SeedFile, row: Row, problem: RowProblem) -> _Bad:
    raw = json.dumps(row.value, default=str).encode() if row.raw is None else row.raw.rstrip(b"\r\n")
    # a file that breaks off has no row whose bytes could name the loss
    digest = hashlib.blake2b(raw or file.url.encode(), digest_size=ID_BYTES, person=b"bad seed").digest()
    place = f"{file.url}:{row.number}" if file.format in ("jsonl", "csv") else f"{file.url}, row {row.number}"
    text = raw[: 4 * RAW_CHARACTERS].decode(errors="replace")[:RAW_CHARACTERS]
    return _Bad(digest, BadSeed(file.url, row.number, problem.reason, f"{place}: {problem}", text, digest.hex()))


def _batch(pairs: Sequence[tuple[_Good | _Bad, bool]], before: SeedReport, on_error: OnError) -> SeedBatch:
    """The batch of these outcomes, each with whether it is new."""
    examples = [outcome for outcome, new in pairs if new and isinstance(outcome, _Good)]
    bad = [outcome.seed for outcome, new in pairs if new and isinstance(outcome, _Bad)]
    if bad and on_error == "stop":
        raise SeedError(bad[0].message)
    report = SeedReport(
        read=before.read + len(pairs),
        seeds=before.seeds + len(examples),
        duplicates=before.duplicates + len(pairs) - len(examples) - len(bad),
        bad=Counter(before.bad) + Counter(seed.reason for seed in bad),
        system_turns_dropped=before.system_turns_dropped + sum(good.example.system_turns for good in examples),
        later_turns_dropped=before.later_turns_dropped + sum(good.example.later_turns for good in examples),
    )
    return SeedBatch([good.seed() for good in examples], bad, report)


def _up_to(limit: int | None, pairs: Iterable[tuple[_Good | _Bad, bool]]) -> Iterator[tuple[_Good | _Bad, bool]]:
    """`pairs` up to the new good outcome with the number `limit`, or all."""
    seeds = 0
    for outcome, new in pairs:
        yield outcome, new
        seeds += new and isinstance(outcome, _Good)
        if seeds == limit:
            return
