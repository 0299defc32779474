"""Reads seeds: rows of JSON, JSONL, CSV and Parquet files become instructions with ids from their content.

Rows stream through in batches, so that a hundred million of them need little more memory than their ids.
A row that is no seed comes out as a BadSeed that says where it is and what was expected.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, Literal

from ray_jobs.errors import ConfigError, SeedError
from ray_jobs.seeds.checks import check_files
from ray_jobs.seeds.fields import RowProblem, shown
from ray_jobs.seeds.files import Format, SeedFile, find_files
from ray_jobs.seeds.formats import until_damage
from ray_jobs.seeds.idset import ID_BYTES, IdSet
from ray_jobs.seeds.json_rows import Row
from ray_jobs.seeds.layouts import ColumnsLayout, Example, Layout
from ray_jobs.seeds.report import Noted, SeedReport, noted
from ray_jobs.seeds.rows import place_of, row_as_json, rows_of
from ray_jobs.seeds.turns import TurnsLayout

BATCH_ROWS, BATCH_CHARACTERS = 8192, 64 << 20
"""A batch ends with the row that makes it as large as either says."""
HELD_BATCHES = 16
"""So many batches before the first seed are kept back: where there is none at all, nothing of them is to be planned."""
RAW_CHARACTERS = 2000

LayoutName = Literal["columns", "sharegpt", "messages"]
log = logging.getLogger(__name__)
OnError = Literal["fail_row", "stop"]


@dataclass(frozen=True, slots=True)
class SeedSource:
    """Where seeds are and how to read them.

    `paths` are files, folders or globs, local or any URL that fsspec knows; `storage` goes to fsspec. `columns`
    maps "instruction", "input" and "output" to names or paths in the rows, see ColumnsLayout, or "conversation" with
    the two layouts of turns. `layout` "sharegpt" reads `conversations: [{from, value}]`, "messages" reads
    `messages: [{role, content}]`, each the other's names too: see TurnsLayout.
    With `pairs` a row's output counts for its id, equal rows are several, and each seed tells its row.
    `on_error` "stop" ends at the first bad row. `limit` ends after that many seeds, not counting bad rows.
    What lies in `output`, the run's own, is not read.
    """

    paths: tuple[str, ...]
    format: Format = "auto"
    layout: LayoutName = "columns"
    columns: Mapping[str, str] = field(default_factory=dict)
    on_error: OnError = "fail_row"
    limit: int | None = None
    storage: Mapping[str, Any] = field(default_factory=dict)
    pairs: bool = False
    output: str = ""


@dataclass(frozen=True, slots=True)
class Seed:
    """An instruction to evolve. `seed_id` is 32 hex digits, see seed_id().

    `row`, of pairs alone, is JSON: the row's `file` and its `line` as in BadSeed, and its other `columns`.
    """

    instruction: str
    input: str
    output: str
    seed_id: str
    row: str | None = None


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
class SeedBatch:
    """The new seeds and bad rows among some thousand rows, in order; `report` counts from the first row on."""

    seeds: list[Seed]
    bad: list[BadSeed]
    report: SeedReport


def read_seeds(source: SeedSource) -> Iterator[SeedBatch]:
    """Read a source's rows in the order of its files, of equal rows the first.

    The files are found and checked at the call, the rows read as the batches are asked for; the last batch's
    report is the whole one. Raises ConfigError for options that contradict each other; SeedError for files that
    are missing, empty or lack a column, where all files together have no row or no seed, and at the first bad row if
    the source says so; StorageError where storage fails.
    """
    layout = _layout(source)
    found = find_files(source.paths, source.format, source.storage, source.output)
    files = check_files(found.files.values(), layout)
    unused = () if source.pairs else tuple(dict.fromkeys(name for file in files for name in file.unused))
    skipped = {reason: Noted(len(urls), urls[0]) for reason, urls in found.skipped.items()}
    return _batches(source, files, layout, SeedReport(skipped_files=skipped, unused_columns=unused))


def signature(source: SeedSource) -> str:
    """A digest that changes when the seeds may have, for which nothing is read.

    It is of the matched files' names, sizes and versions (ETag or time of change) and of the source's options.
    """
    files = find_files(source.paths, source.format, source.storage, source.output).files.values()
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
    columns = dict(source.columns)
    conversation = columns.pop("conversation", "")
    if source.layout == "columns":
        if conversation:
            raise ConfigError("seeds.columns.conversation: expected seeds.layout: messages or sharegpt with it")
        return ColumnsLayout(columns, source.pairs)
    if columns:
        raise ConfigError(
            f"seeds.columns: expected none with seeds.layout {source.layout} but conversation, got {', '.join(columns)}"
        )
    if source.layout == "sharegpt":
        return TurnsLayout("conversations", "from", "value", conversation)
    return TurnsLayout("messages", "role", "content", conversation)


def _batches(source: SeedSource, files: Sequence[SeedFile], layout: Layout, report: SeedReport) -> Iterator[SeedBatch]:
    rows = chain.from_iterable(_outcomes(file, layout, source.pairs) for file in files)
    ids, repeats, left = IdSet(), Counter[bytes](), source.limit
    first: BadSeed | None = None
    held = list[SeedBatch]()
    outcomes = _some(rows)
    while outcomes:
        new = ids.add([outcome.digest for outcome in outcomes]).tolist()
        if source.pairs:
            outcomes, new = _numbered(outcomes, new, repeats)
        pairs = list(_up_to(left, zip(outcomes, new, strict=True)))
        batch = _batch(pairs, report, source.on_error)
        report = batch.report
        first = first or (batch.bad[0] if batch.bad else None)
        left = None if source.limit is None else source.limit - report.seeds
        held.append(batch)
        if report.seeds or len(held) > HELD_BATCHES:
            yield from held
            held.clear()
        outcomes = [] if left == 0 else _some(rows)
    if first is not None and not report.seeds:
        raise SeedError(_no_seed(report, first))
    if not report.read:
        raise SeedError(f"{', '.join(source.paths)}: {len(files)} files without a single row")
    for line in report.lines():
        log.warning("seeds: %s", line)


def _some(rows: Iterator[_Good | _Bad]) -> list[_Good | _Bad]:
    """The next rows, as many as a batch holds."""
    taken, characters = list[_Good | _Bad](), 0
    for outcome in islice(rows, BATCH_ROWS):
        taken.append(outcome)
        characters += outcome.characters
        if characters >= BATCH_CHARACTERS:
            break
    return taken


def _no_seed(report: SeedReport, first: BadSeed) -> str:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in report.bad.items())
    return f"no usable seed in {report.read:,} rows ({reasons}); the first: {first.message}"


def _numbered(
    outcomes: Sequence[_Good | _Bad], new: Sequence[bool], repeats: Counter[bytes]
) -> tuple[list[_Good | _Bad], list[bool]]:
    """The same outcomes, of which pairs that were there before have an id with their number among their equals."""
    told = list[_Good | _Bad]()
    for outcome, unseen in zip(outcomes, new, strict=True):
        if not unseen and isinstance(outcome, _Good):
            repeats[outcome.digest] += 1
            outcome = replace(outcome, digest=_seed_digest(outcome.digest.hex(), str(repeats[outcome.digest])))
        told.append(outcome)
    return told, [unseen or isinstance(outcome, _Good) for outcome, unseen in zip(told, new, strict=True)]


@dataclass(frozen=True, slots=True)
class _Good:
    digest: bytes
    example: Example
    place: str
    row: str | None

    @property
    def characters(self) -> int:
        example = self.example
        return len(example.instruction) + len(example.input) + len(example.output) + len(self.row or "")

    def seed(self) -> Seed:
        example = self.example
        return Seed(example.instruction, example.input, example.output, self.digest.hex(), self.row)


@dataclass(frozen=True, slots=True)
class _Bad:
    digest: bytes
    seed: BadSeed

    @property
    def characters(self) -> int:
        return len(self.seed.raw)


def _outcomes(file: SeedFile, layout: Layout, pairs: bool) -> Iterator[_Good | _Bad]:
    return (_outcome(file, row, layout, pairs) for row in until_damage(rows_of(file, every_column=pairs)))


def _outcome(file: SeedFile, row: Row, layout: Layout, pairs: bool) -> _Good | _Bad:
    try:
        return _good(file, row, _example(row.value, layout), pairs)
    except RowProblem as problem:
        return _bad(file, row, problem)
    except RecursionError:
        return _bad(file, row, RowProblem("too_deep", "expected lists and objects some hundred deep at most"))


def _good(file: SeedFile, row: Row, example: Example, pairs: bool) -> _Good:
    texts = (example.instruction, example.input, *([example.output] if pairs else []))
    place = place_of(file, row) if example.notes else ""
    return _Good(_seed_digest(*texts), example, place, row_as_json(file, row) if pairs else None)


def _example(value: object, layout: Layout) -> Example:
    if isinstance(value, RowProblem):
        raise value
    if not isinstance(value, dict):
        raise RowProblem("not_an_object", f"expected a JSON object, got {shown(value)}")
    return layout.read(value)


def _bad(file: SeedFile, row: Row, problem: RowProblem) -> _Bad:
    identity, raw = _identity(file, row)
    digest = hashlib.blake2b(identity, digest_size=ID_BYTES, person=b"bad seed").digest()
    place = place_of(file, row)
    text = raw[: 4 * RAW_CHARACTERS].decode(errors="replace")[:RAW_CHARACTERS]
    return _Bad(digest, BadSeed(file.url, row.number, problem.reason, f"{place}: {problem}", text, digest.hex()))


def _identity(file: SeedFile, row: Row) -> tuple[bytes, bytes]:
    """What tells a bad row from others, and what is there of its text: the row's bytes where it has some."""
    if row.raw is not None:
        raw = row.raw.rstrip(b"\r\n")
        # a file that breaks off has no row whose bytes could name the loss
        return raw or file.url.encode(), raw
    if isinstance(row.value, RowProblem):  # of which the value is not known, so its place has to do
        return f"{file.url} {row.number}".encode(), json.dumps(str(row.value)).encode()
    raw = json.dumps(row.value, default=str).encode()
    return raw, raw


def _batch(pairs: Sequence[tuple[_Good | _Bad, bool]], before: SeedReport, on_error: OnError) -> SeedBatch:
    """The batch of these outcomes, each with whether it is new."""
    examples = [outcome for outcome, new in pairs if new and isinstance(outcome, _Good)]
    bad = [outcome.seed for outcome, new in pairs if new and isinstance(outcome, _Bad)]
    if bad and on_error == "stop":
        raise SeedError(bad[0].message)
    report = replace(
        before,
        read=before.read + len(pairs),
        seeds=before.seeds + len(examples),
        duplicates=before.duplicates + len(pairs) - len(examples) - len(bad),
        bad=Counter(before.bad) + Counter(seed.reason for seed in bad),
        system_turns_dropped=before.system_turns_dropped + sum(good.example.system_turns for good in examples),
        later_turns_dropped=before.later_turns_dropped + sum(good.example.later_turns for good in examples),
        notes=noted(before.notes, ((name, good.place) for good in examples for name in good.example.notes)),
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
