"""The names of an output's objects, which say whose they are: the epoch that made them, and its lease's token.

Nothing else has names of these forms. Only what has one, at its place, is ever taken for a leftover.
"""

from __future__ import annotations

import re
import uuid
from typing import NamedTuple

DATA, REJECTED = "data", "rejected"
STAGING, ENTRIES, PLAN = "staging", "entries", "plan"
EPOCHS = "epochs"
REPLIES = "replies"
"""The journal of replies, which no takeover touches."""
RUN, REPORT, CARD, SUCCESS = "run.json", "report.json", "README.md", "_SUCCESS"
SEARCH = "search.json"
"""What makes an output one of a search for a method; a run's has none."""
FIRST_ENTRIES = "manifest"
"""Where the first version of this program kept its entries."""

NAME = r"[0-9a-f]{24}"
_TAG = r"(\d{6,})-[0-9a-f]{12}"
STAGED_FORM = rf"{STAGING}/{_TAG}/[\w.-]+"
FORMS = (
    rf"(?:{DATA}|{REJECTED})/{_TAG}-{NAME}\.parquet",
    STAGED_FORM,
    rf"{ENTRIES}/{_TAG}/[\w.-]+\.json",
    rf"{PLAN}/[\w.-]+/{_TAG}-\d{{12,}}-\d+\.parquet",
)
"""The paths of what epochs make, as regular expressions for a whole path, in ASCII, whose group is the epoch."""
FIRST_FORMS = (
    rf"(?:{DATA}|{REJECTED})/{NAME}\.parquet",
    rf"{FIRST_ENTRIES}/{NAME}\.json",
    rf"{PLAN}/[\w.-]+/\d{{12,}}-\d+\.parquet",
)
"""Those of what the first version made."""
REPLY_FORM = rf"{REPLIES}/[\w.-]+/{_TAG}-(\d{{12,}})-(\d{{12,}})-{NAME}\.(zst|died)"
"""The path of a file of the journal, with the groups epoch, first row, last row and kind."""
_FORMS = tuple(re.compile(form, re.ASCII) for form in FORMS)
_FIRST_FORMS = tuple(re.compile(form, re.ASCII) for form in FIRST_FORMS)
_UNFINISHED = re.compile(r"(?P<folder>(?:.*/)?)\.(?P<name>[^/]+)\.[0-9a-f]{32}\.tmp", re.DOTALL)
"""What a writer to a local disk that was killed leaves beside the file that it was about to write."""


class Tag(NamedTuple):
    """What the names of an epoch's objects have in common."""

    epoch: int
    token: str

    def __str__(self) -> str:
        return f"{self.epoch:06d}-{self.token}"


def new_token() -> str:
    """48 random bits, in hex: no two leases have the same."""
    return uuid.uuid4().hex[:12]


def new_name() -> str:
    """A name that nothing has had before: 96 random bits, in hex."""
    return uuid.uuid4().hex[:24]


def staged_path(tag: Tag, name: str) -> str:
    """Where a file lies before it counts, under a name that no reader of Parquet folders takes for data."""
    return f"{STAGING}/{tag}/{name}"


def part_paths(tag: Tag, name: str) -> dict[str, str]:
    """Where the staged files of a part lie, by their folders."""
    return {folder: staged_path(tag, f"{name}.{folder}") for folder in (DATA, REJECTED)}


def data_path(tag: Tag, folder: str, name: str) -> str:
    """Where a published file lies."""
    return f"{folder}/{tag}-{name}.parquet"


def entry_folder(tag: Tag) -> str:
    """Where the entries of an epoch lie."""
    return f"{ENTRIES}/{tag}"


def folder_of(path: str) -> str:
    """The folder that the records of a part's file belong to, wherever it lies."""
    return path.rpartition(".")[2] if path.startswith(f"{STAGING}/") else path.split("/")[0]


def when_written(path: str) -> str:
    """The path of a file that may be half written, as it would be when it is whole."""
    unfinished = _UNFINISHED.fullmatch(path)
    return f"{unfinished['folder']}{unfinished['name']}" if unfinished else path


def epoch_of(path: str) -> int | None:
    """The epoch that made an object, 0 for those of the first version; None where the name is not of our forms."""
    path = when_written(path)
    for form in _FORMS:
        if found := form.fullmatch(path):
            return int(found[1])
    return 0 if any(form.fullmatch(path) for form in _FIRST_FORMS) else None


def is_record_file(path: str) -> bool:
    """Whether `path` is where a file of records may lie: no entry leads anywhere else."""
    return epoch_of(path) is not None and folder_of(path) in (DATA, REJECTED)
