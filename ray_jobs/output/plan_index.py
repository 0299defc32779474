"""What is planned: the plan's files, and counts of the seeds that they were made of."""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_jobs.errors import DamagedOutput
from ray_jobs.output.file_names import PLAN
from ray_jobs.output.manifest import Rows, pack_rows, unpack_rows

INDEX = f"{PLAN}/index.json"
"""Where the first version kept the index. Now it tells that version that it cannot read the output."""
UNREADABLE = "_unreadable"
"""The folder, in place of an evolver's name, of seeds that could not be read."""
_TAG = re.compile(r"(\d{6,}-[0-9a-f]{12})?")


@dataclass(frozen=True)
class PlanFile:
    """One file of the plan: `rows` rows of `evolver`, the first of which has number `first`.

    `tag` is that of the epoch which wrote it, empty for files of the first version. `checksum` is BLAKE2b-128 of its
    bytes.
    """

    evolver: str
    first: int
    rows: int
    tag: str = ""
    checksum: str = ""

    @property
    def path(self) -> str:
        """Where the file lies in the output."""
        tag = f"{self.tag}-" if self.tag else ""
        return f"{PLAN}/{self.evolver}/{tag}{self.first:012d}-{self.rows}.parquet"

    @property
    def end(self) -> int:
        """The number after its last row's."""
        return self.first + self.rows


@dataclass
class PlanIndex:
    """What is planned. `rows` and `seeds` count all that were ever planned, and so number the next ones.

    `held_out` counts seeds that the run leaves alone. Of what was planned, `packed_retracted` rows, of `gone_seeds`
    seeds, are not asked for any more; `unreadable` counts without them.
    `seed_notes` say what the last reading of the seeds left out or noted, a sentence each, as SeedReport.lines does.
    `signature` is that of the seed files it was read from whole.
    """

    rows: int = 0
    seeds: int = 0
    duplicates: int = 0
    held_out: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    seed_notes: list[str] = field(default_factory=list)
    signature: str | None = None
    files: list[PlanFile] = field(default_factory=list)
    packed_retracted: bytes = b""
    gone_seeds: int = 0

    @property
    def retracted(self) -> Rows:
        """The numbers of the rows that are planned no more, ascending. Unpacked anew each time."""
        return unpack_rows(self.packed_retracted) if self.packed_retracted else np.empty(0, dtype=np.int64)

    @property
    def asked_rows(self) -> int:
        """How many rows are to have an outcome: those planned without those retracted."""
        return self.rows - len(self.retracted)

    def asked_records(self, records_per_row: int) -> int:
        """How many records these rows come to: so many each, and one for a seed that cannot be read."""
        unreadable = self.unreadable.total()
        return (self.asked_rows - unreadable) * records_per_row + unreadable

    @property
    def usable_seeds(self) -> int:
        """The seeds of the rows that are to have an outcome."""
        return self.seeds - self.gone_seeds

    def retract(self, rows: Rows) -> None:
        """Plan these rows no more. They keep their numbers, which no other row ever gets."""
        self.packed_retracted = pack_rows(np.union1d(self.retracted, rows))

    def settled(self, done: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """For each row whether nothing is to be done for it: it is `done`, or retracted."""
        settled = done.copy()
        settled[self.retracted] = True
        return settled

    def to_json(self, files: int = 0) -> dict[str, Any]:
        """The index as it is stored, with its files from number `files` on."""
        stored = vars(self) | {"files": [vars(file) for file in self.files[files:]]}
        packed, gone_seeds = stored.pop("packed_retracted"), stored.pop("gone_seeds")
        if not packed:
            # versions that know no such rows read it
            return stored
        return stored | {"retracted": base64.b64encode(packed).decode("ascii"), "gone_seeds": gone_seeds}

    @classmethod
    def from_json(cls, raw: Any, source: str) -> PlanIndex:
        """Read a stored index. Raises DamagedOutput, naming `source`, where it is none or leads out of the output."""
        try:
            raw = dict(raw)
            files = [PlanFile(**item) for item in raw.pop("files")]
            packed = base64.b64decode(raw.pop("retracted", ""), validate=True)
            index = cls(files=files, unreadable=Counter(raw.pop("unreadable")), packed_retracted=packed, **raw)
            strange = [file.path for file in files if not _is_inside(file)]
            if len(rows := index.retracted) and not 0 <= rows[0] <= rows[-1] < index.rows:
                raise ValueError(f"retracts row {rows[-1]} of {index.rows}")
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise DamagedOutput(f"{source}: expected a plan index, got something else ({error})") from error
        if strange:
            raise DamagedOutput(f"{source}: names {strange[0]!r}, which is no place of a plan file")
        return index

    def extended(self, later: PlanIndex) -> PlanIndex:
        """This index with the files of a later state of it, of which `later` has only those that were added."""
        return PlanIndex(**{**vars(later), "files": [*self.files, *later.files]})


def _is_inside(file: PlanFile) -> bool:
    return bool(_TAG.fullmatch(file.tag)) and "/" not in file.evolver and file.evolver not in ("", ".", "..")
