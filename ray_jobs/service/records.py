"""The records of an output: pages filtered and sorted by an index, texts by row groups, search as a stream."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_jobs.errors import ConfigError
from ray_jobs.output.accepted import Accepted
from ray_jobs.output.columns import BY_NAME, MEASURES
from ray_jobs.output.manifest import Entry, Part
from ray_jobs.output.schema import KEPT
from ray_jobs.service.answers import NotFound
from ray_jobs.service.figures import coarse
from ray_jobs.service.index import SORTS, TEN_SECONDS, FileIndex, index_of, key_of, tokens_by_time
from ray_jobs.storage.store import Store

PAGE = 50
DEEPEST = 100_000
"""How many sorted records a page may lie behind: whoever looks further narrows the filter."""
SNIPPET = 280
POINTS = 300
LISTED = ("record_id", "row_id", "evolver", "round", "operator", "status", "stage", "reason", "instruction")
NUMBERED = ("ic_ifd", "ifd", "prompt_tokens", "completion_tokens")
SEARCHED = ("instruction", "output", "seed_instruction")
Mask = npt.NDArray[np.bool_]
Record = dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Which records: None stands for all. `ranges` bound numeric columns, ends included."""

    outcome: str | None = None
    evolver: str | None = None
    round: int | None = None
    reason: str | None = None
    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    def admits(self, key: tuple[str, int, str, str], but: str = "") -> bool:
        """Whether it lets records of (evolver, round, outcome, reason) through, leaving the field `but` aside."""
        names = ("evolver", "round", "outcome", "reason")
        return all(name == but or getattr(self, name) in (None, part) for name, part in zip(names, key, strict=True))


@dataclass(frozen=True)
class Place:
    """Where a record lies."""

    part: Part
    position: int


class Records:
    """The records of `found` in `store`, with indexes in `folder`."""

    def __init__(self, store: Store, found: Accepted, folder: Path) -> None:
        self.store, self._found, self._folder = store, found, folder
        self._files = sorted(
            ((entry, part) for entry in found.parts for part in entry.files), key=lambda item: item[1].path
        )
        self._lock = threading.Lock()
        self._indexes: dict[str, FileIndex] = {}

    def prepare(self, seconds: float = 1e9, clock: Any = time.monotonic) -> tuple[int, int]:
        """Make indexes for so long; how many files of how many have one then."""
        deadline = clock() + seconds
        with self._lock:
            for _, part in self._files:
                if part.path not in self._indexes:
                    if clock() > deadline:
                        break
                    self._indexes[part.path] = index_of(self.store, part, self._folder)
        return len(self._indexes), len(self._files)

    def facets(self, wanted: Filter) -> dict[str, list[dict[str, Any]]]:
        """For each field the values that there are, with the records that the other fields leave. Reads no record."""
        counts = self._found.manifest.outcome_counts().outcomes
        found = {}
        for place, name in enumerate(("evolver", "round", "outcome", "reason")):
            totals: Counter[Any] = Counter()
            for (evolver, number, status, reason), count in counts.items():
                key = (evolver, number, status, reason)
                if wanted.admits(key, but=name):
                    totals[key[place]] += count
            found[name] = [{"value": value, "count": count} for value, count in totals.most_common() if value != ""]
        found["round"].sort(key=lambda item: item["value"])
        return found

    def page(self, wanted: Filter, sort: str | None, descending: bool, page: int, size: int = PAGE) -> dict[str, Any]:
        """One page, counted from 1. Raises ConfigError where it cannot be sorted like that, or lies too deep."""
        if sort is not None and sort not in SORTS:
            raise ConfigError(f"the query is wrong\n  sort: expected one of {', '.join(SORTS)}, got {sort}")
        if page < 1 or page * size > DEEPEST:
            raise ConfigError(f"the query is wrong\n  page: expected 1 to {DEEPEST // size}, got {page}")
        total, places = self._sorted(wanted, sort, descending, page * size)
        shown = places[(page - 1) * size : page * size]
        return {"total": total, "page": page, "size": size, "records": self._listed(shown)}

    def _sorted(self, wanted: Filter, sort: str | None, descending: bool, need: int) -> tuple[int, list[Place]]:
        total, values, places = 0, np.empty(0), np.empty((0, 2), np.int64)
        for number, (entry, part) in enumerate(self._files):
            index = self._indexes[part.path]
            positions = np.flatnonzero(self._mask(entry, index, wanted))
            total += len(positions)
            if sort is None:
                positions = positions[: need - len(places)]
                keys = np.zeros(len(positions))
            else:
                keys = index.column(sort)[positions]
                # nulls come last whichever way
                keys = np.where(np.isnan(keys), np.inf, -keys if descending else keys)
                if len(keys) > need:
                    near = keys <= np.partition(keys, need - 1)[need - 1]
                    positions, keys = positions[near], keys[near]
            if not len(positions):
                continue
            values = np.concatenate([values, keys])
            places = np.concatenate([places, np.stack([np.full(len(positions), number), positions], axis=1)])
            order = np.argsort(values, kind="stable")[:need]
            values, places = values[order], places[order]
        return total, [Place(self._files[number][1], position) for number, position in places.tolist()]

    def _mask(self, entry: Entry, index: FileIndex, wanted: Filter) -> Mask:
        endings = [
            wanted.outcome in (None, status) and wanted.reason in (None, reason) for status, _, reason in index.endings
        ]
        mask = np.ones(index.rows, dtype=bool)
        if not all(endings):
            mask &= np.array(endings)[index.column("ending")]
        if wanted.evolver is not None:
            mask &= np.array([name == wanted.evolver for name in index.evolvers] or [False])[index.column("evolver")]
        if wanted.round is not None:
            mask &= index.column("round") == wanted.round
        for name, (low, high) in wanted.ranges.items():
            values = index.column(name)
            mask &= (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
        if entry.extra:
            mask &= np.isin(index.column("plan_row"), entry.rows)
        return mask

    def _listed(self, places: Sequence[Place]) -> list[Record]:
        names = (*LISTED, *NUMBERED)
        records = [_shortened(record) for record in self.read(places, names)]
        return [{"outcome": record.pop("status") or "kept", **record} for record in records]

    def read(self, places: Sequence[Place], columns: Sequence[str]) -> list[Record]:
        """The records at these places, in their order; columns that a file lacks are null."""
        wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for number, place in enumerate(places):
            group, inside = self._indexes[place.part.path].group_of(place.position)
            wanted.setdefault((place.part.path, group), []).append((number, inside))
        found: list[Record] = [{}] * len(places)
        opened: dict[str, pq.ParquetFile] = {}
        try:
            for (path, group), both in wanted.items():
                if path not in opened:
                    opened[path] = pq.ParquetFile(self.store.open_input(path))
                there = [name for name in columns if name in opened[path].schema_arrow.names]
                table = opened[path].read_row_group(group, columns=there)
                rows = table.take(pa.array([inside for _, inside in both])).to_pylist()
                for (number, _), row in zip(both, rows, strict=True):
                    found[number] = {name: row.get(name) for name in columns}
        finally:
            for file in opened.values():
                file.close(force=True)
        return found

    def masks(self, wanted: Filter) -> Iterator[tuple[Part, Mask]]:
        """Every file, with which of its records pass."""
        for entry, part in self._files:
            yield part, self._mask(entry, self._indexes[part.path], wanted)

    def row(self, row_id: str) -> list[Record]:
        """All records of a row by round, whole. Raises NotFound."""
        key, places = key_of(row_id), list[Place]()
        for entry, part in self._files:
            index = self._indexes[part.path]
            mask = self._mask(entry, index, Filter()) & (index.column("key") == np.uint64(key))
            places += [Place(part, position) for position in np.flatnonzero(mask).tolist()]
        rounds = [record for record in self.read(places, list(BY_COLUMN)) if record["row_id"] == row_id]
        if not rounds:
            raise NotFound(f"{self.store.url}: has no row {row_id}")
        rounds = [{"outcome": item["status"] or "kept", **_plain(item)} for item in rounds]
        return sorted(rounds, key=lambda item: int(item["round"]))

    def search(self, wanted: Filter, text: str) -> Iterator[dict[str, Any]]:
        """Records whose texts hold `text` in whatever case, as they are found; {"looked": n} after a row group."""
        looked = 0
        for entry, part in self._files:
            index = self._indexes[part.path]
            mask = self._mask(entry, index, wanted)
            ends = [*index.starts[1:].tolist(), index.rows]
            for group, (start, end) in enumerate(zip(index.starts.tolist(), ends, strict=True)):
                looked += end - start
                if mask[start:end].any():
                    hits = self._hits(part, group, mask[start:end], text)
                    yield from ({"record": item} for item in self._listed([Place(part, start + at) for at in hits]))
                yield {"looked": looked}

    def _hits(self, part: Part, group: int, mask: Mask, text: str) -> list[int]:
        with self.store.open_input(part.path) as opened, pq.ParquetFile(opened) as file:
            table = file.read_row_group(group, columns=list(SEARCHED))
        for name in SEARCHED:
            found = pc.fill_null(pc.match_substring(table[name], text, ignore_case=True), False)
            table = table.append_column(f"in_{name}", found)
        hit = np.logical_or.reduce([table[f"in_{name}"].to_numpy() for name in SEARCHED])
        return [int(place) for place in np.flatnonzero(hit & mask)]

    def speed(self) -> list[dict[str, float]]:
        """Tokens a second from the first row to the last, by when rows were finished, in at most POINTS steps."""
        totals: Counter[int] = Counter()
        for entry, part in self._files:
            index = self._indexes[part.path]
            totals.update(tokens_by_time(index, self._mask(entry, index, Filter()) if entry.extra else None))
        if not totals:
            return []
        first, last = min(totals), max(totals)
        step = TEN_SECONDS * (1 + (last - first) // TEN_SECONDS // POINTS)
        steps = [0.0] * (1 + (last - first) // step)
        for at, tokens in totals.items():
            steps[(at - first) // step] += tokens
        return [
            {"at": first + number * step, "tokens_per_second": tokens / step} for number, tokens in enumerate(steps)
        ]

    def fallen(self) -> dict[str, list[dict[str, Any]]]:
        """By the stage at which they fell, the records that were not kept: their outcomes and reasons, counted."""
        totals: Counter[tuple[str, str, str]] = Counter()
        for part, mask in self.masks(Filter()):
            index = self._indexes[part.path]
            codes = index.column("ending")[mask]
            for ending, count in zip(index.endings, np.bincount(codes, minlength=len(index.endings)), strict=True):
                totals[ending] += int(count)
        found = dict[str, list[dict[str, Any]]]()
        for (status, stage, reason), count in totals.most_common():
            if status != KEPT and count:
                found.setdefault(stage, []).append({"outcome": status, "reason": reason, "count": count})
        return found

    @cached_property
    def distributions(self) -> dict[str, Any]:
        """For IC-IFD and IFD, the records in each of BINS bins by evolver, between the middle 99 % of all values."""
        labels = {item.name: item for item in MEASURES}
        found = {}
        for name in ("ic_ifd", "ifd"):
            by_evolver: dict[str, Counter[int]] = {}
            scale = labels[name].scale
            for entry, part in self._files:
                index = self._indexes[part.path]
                values = np.where(self._mask(entry, index, Filter()), index.column(name), np.nan)
                bins = np.clip((np.nan_to_num(values) - scale.low) / scale.width, 0, scale.bins - 1).astype(np.int64)
                for code, evolver in enumerate(index.evolvers):
                    mine = np.isfinite(values) & (index.column("evolver") == code)
                    if mine.any():
                        by_evolver.setdefault(evolver, Counter()).update(Counter(bins[mine].tolist()))
            found[name] = {"label": labels[name].axis, **coarse(by_evolver, scale.low, scale.width)}
        return found


BY_COLUMN = {name: item for name, item in BY_NAME.items() if item.origin != "reading"}


def _shortened(record: Record) -> Record:
    text = record["instruction"] or ""
    return {**record, "instruction": text[:SNIPPET] + "…" if len(text) > SNIPPET else text}


def _plain(record: Record) -> Record:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in record.items()}
