"""The manifest: which parts are committed, and which rows of the plan they hold.

A part is a pair of Parquet files, `data/NAME.parquet` and `rejected/NAME.parquet`, of which one may be absent.
It counts from the moment its entry `manifest/NAME.json` exists, and never before: entries are written last, whole,
and name their content. An entry may replace others, which it outlives. Whatever a kill leaves behind, the entries
say what is there; `reconcile.py` brings the files in line with them.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_jobs.errors import DamagedOutput
from ray_jobs.storage import Store
from ray_jobs.tally import Tally

FOLDER = "manifest"
READERS = 16
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a part: its path in the output, size in bytes, records, and BLAKE2b-128 of its bytes."""

    path: str
    bytes: int
    records: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed part: its files, the rows of the plan that it holds, and what became of their records.

    `lease` is the number of the lease under which its rows were made or joined; where a row is in two parts the later
    counts. `schema` is a digest of its files' columns, empty where it was not noted. Rows and tally are held packed,
    for a run may have a million entries.
    """

    name: str
    files: tuple[Part, ...]
    packed_rows: bytes
    packed_tally: bytes
    replaces: tuple[str, ...] = ()
    lease: int = 0
    schema: str = ""

    @classmethod
    def of(cls, name: str, files: Iterable[Part], rows: Rows, tally: Tally, replaces: Iterable[str] = ()) -> Entry:
        """The entry of a part that holds `rows`, in any order."""
        return cls(name, tuple(files), _pack(rows), _pack_tally(tally), tuple(replaces))

    @property
    def path(self) -> str:
        """Where the entry lies in the output."""
        return entry_path(self.name)

    @property
    def rows(self) -> Rows:
        """The numbers of its rows in the plan, ascending. Unpacked anew each time."""
        return _unpack(self.packed_rows)

    @property
    def tally(self) -> Tally:
        """What became of its records. Unpacked anew each time."""
        return Tally.from_json(json.loads(zlib.decompress(self.packed_tally)))

    @property
    def size(self) -> int:
        """The size in bytes of the greater of its files."""
        return max((part.bytes for part in self.files), default=0)

    def to_json(self) -> bytes:
        """The entry as it is stored. Rows are compressed deltas: consecutive rows cost next to nothing."""
        return json.dumps(
            {
                "name": self.name,
                "files": [asdict(part) for part in self.files],
                "rows": base64.b64encode(self.packed_rows).decode("ascii"),
                "tally": self.tally.to_json(),
                "replaces": self.replaces,
                "lease": self.lease,
                "schema": self.schema,
            }
        ).encode()

    @classmethod
    def from_json(cls, data: bytes, source: str) -> Entry:
        """Read a stored entry. Raises DamagedOutput, naming `source`, where it is not one."""
        try:
            raw: dict[str, Any] = json.loads(data)
            files = [Part(**part) for part in raw["files"]]
            rows = _unpack(base64.b64decode(raw["rows"]))
            entry = cls.of(raw["name"], files, rows, Tally.from_json(raw["tally"]), raw["replaces"])
            # entries of earlier versions have no schema
            return replace(entry, lease=raw["lease"], schema=raw.get("schema", ""))
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise DamagedOutput(f"{source}: expected a manifest entry, got something else ({error})") from error


@dataclass(frozen=True)
class Manifest:
    """The committed parts of an output. `replaced` are entries that others replaced but that still lie there."""

    entries: Sequence[Entry]
    replaced: Sequence[Entry] = field(default_factory=tuple)

    def done(self, total: int) -> npt.NDArray[np.bool_]:
        """For each of the plan's `total` rows, whether a committed part holds it: one byte a row."""
        done = np.zeros(total, dtype=np.bool_)
        for entry in self.entries:
            done[entry.rows] = True
        return done

    def tally(self) -> Tally:
        """What became of all records."""
        return Tally.total(entry.tally for entry in self.entries)


def entry_path(name: str) -> str:
    """Where the entry of part `name` lies in the output."""
    return f"{FOLDER}/{name}.json"


def load(store: Store) -> Manifest:
    """Read all entries of an output. Memory is about a kilobyte an entry."""
    paths = [path for path, _ in store.list(FOLDER) if path.endswith(".json")]
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda path: Entry.from_json(store.read_bytes(path), store.url_of(path)), paths))
    return without_replaced(read)


def without_replaced(entries: Sequence[Entry]) -> Manifest:
    """Tell those entries that count from those that others among them replace."""
    gone = {name for entry in entries for name in entry.replaces}
    live = [entry for entry in entries if entry.name not in gone]
    return Manifest(live, [entry for entry in entries if entry.name in gone])


def commit(store: Store, entry: Entry) -> bool:
    """Make `entry` count. False where a part of the same name, so of the same content, was committed before."""
    return store.create_exclusive(entry.path, entry.to_json())


def forget(store: Store, entries: Iterable[Entry]) -> None:
    """Remove entries first and then their files, so that no entry ever names a file that is not there."""
    gone = list(entries)
    store.delete(entry.path for entry in gone)
    store.delete(part.path for entry in gone for part in entry.files)


def _pack(rows: Rows) -> bytes:
    deltas = np.diff(np.sort(rows), prepend=0).astype("<i8")
    return zlib.compress(deltas.tobytes(), 6)


def _unpack(packed: bytes) -> Rows:
    deltas = np.frombuffer(zlib.decompress(packed), dtype="<i8")
    return np.cumsum(deltas, dtype=np.int64)


def _pack_tally(tally: Tally) -> bytes:
    return zlib.compress(json.dumps(tally.to_json()).encode(), 1)
