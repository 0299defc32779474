"""The manifest: which parts are committed, and which rows of the plan they hold.

A part is a pair of Parquet files, one of kept and one of rejected records, of which one may be absent. It counts from
the moment its entry exists, and never before: entries are written last, whole. accepted.py says which entries count.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_jobs.errors import DamagedOutput
from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.output.file_names import folder_of, is_record_file

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a part: its path in the output, size in bytes, records, and BLAKE2b-128 of its bytes."""

    path: str
    bytes: int
    records: int
    checksum: str

    @property
    def folder(self) -> str:
        """Whose records it holds: `data` for kept ones, `rejected` for the others."""
        return folder_of(self.path)


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed part: its files, the rows of the plan that count in it, and what became of their records.

    `extra` is how many more rows its files hold: rows that another part holds too, and that count there. `schema` is a
    digest of its files' columns, empty where it was not noted. Rows and tally are held packed, for a run may have a
    million entries.
    """

    name: str
    files: tuple[Part, ...]
    packed_rows: bytes
    packed_counts: bytes
    extra: int = 0
    schema: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        files: Iterable[Part],
        rows: Rows,
        outcome_counts: OutcomeCounts,
        extra: int = 0,
        schema: str = "",
    ) -> Entry:
        """The entry of a part that holds `rows`, in any order."""
        return cls(name, tuple(files), pack_rows(rows), _pack_counts(outcome_counts), extra, schema)

    @property
    def rows(self) -> Rows:
        """The numbers in the plan of the rows that count, ascending. Unpacked anew each time."""
        return unpack_rows(self.packed_rows)

    @property
    def outcome_counts(self) -> OutcomeCounts:
        """What became of their records. Unpacked anew each time."""
        return OutcomeCounts.from_json(json.loads(zlib.decompress(self.packed_counts)))

    @property
    def size(self) -> int:
        """The size in bytes of the greater of its files."""
        return max((part.bytes for part in self.files), default=0)

    def to_json(self) -> dict[str, Any]:
        """The entry as it is stored. Rows are compressed deltas: consecutive rows cost next to nothing."""
        return {
            "name": self.name,
            "files": [asdict(part) for part in self.files],
            "rows": base64.b64encode(self.packed_rows).decode("ascii"),
            "tally": self.outcome_counts.to_json(),
            "extra": self.extra,
            "schema": self.schema,
        }

    @classmethod
    def from_json(cls, raw: Any, source: str) -> Entry:
        """Read a stored entry. Raises DamagedOutput, naming `source`, where it is none or leads out of the output."""
        try:
            files = [Part(**part) for part in raw["files"]]
            rows = unpack_rows(base64.b64decode(raw["rows"], validate=True))
            outcome_counts, extra, schema = (
                OutcomeCounts.from_json(raw["tally"]),
                raw.get("extra", 0),
                raw.get("schema", ""),
            )
            entry = cls.of(str(raw["name"]), files, rows, outcome_counts, extra, schema)
            strange = [part.path for part in files if not is_record_file(part.path)]
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise DamagedOutput(f"{source}: expected a manifest entry, got something else ({error})") from error
        if strange:
            raise DamagedOutput(f"{source}: names {strange[0]!r}, which is no place of a file of records")
        return entry


@dataclass(frozen=True)
class Manifest:
    """The committed parts of an output, no row of which counts twice."""

    entries: Sequence[Entry]

    def done(self, total: int) -> npt.NDArray[np.bool_]:
        """For each of the plan's `total` rows, whether a committed part holds it: one byte a row."""
        done = np.zeros(total, dtype=np.bool_)
        for entry in self.entries:
            done[entry.rows] = True
        return done

    def outcome_counts(self) -> OutcomeCounts:
        """What became of all records."""
        return OutcomeCounts.total(entry.outcome_counts for entry in self.entries)


def pack_rows(rows: Rows) -> bytes:
    """Row numbers, in any order, as compressed deltas: consecutive ones cost next to nothing."""
    deltas = np.diff(np.sort(rows), prepend=0).astype("<i8")
    return zlib.compress(deltas.tobytes(), 6)


def unpack_rows(packed: bytes) -> Rows:
    """The numbers that `pack_rows` has packed, ascending."""
    deltas = np.frombuffer(zlib.decompress(packed), dtype="<i8")
    return np.cumsum(deltas, dtype=np.int64)


def _pack_counts(outcome_counts: OutcomeCounts) -> bytes:
    return zlib.compress(json.dumps(outcome_counts.to_json()).encode(), 1)
