"""The errors that end a command, each with the exit code that the command line leaves with.

JobError                1   anything below; 1 alone is never used for a known error
├── ConfigError         2   the configuration is wrong; nothing was started
│   ├── SettingsChanged     a run cannot go on under settings that change its results
│   ├── SeedsChanged        rows were planned from seeds that are gone, and nobody has said what becomes of them
│   └── EngineRefuses       an engine cannot be set as it is configured, which only it could tell
├── SeedError           3   the seeds cannot be read as configured
├── StorageError        4   a file or an object store does not do what it is asked
│   ├── MissingFile         the file that was asked for does not exist
│   └── StoreAway           the store does not answer, or answers that it cannot now: another try may succeed
├── OutputError         5   the output cannot be worked on as it is
│   ├── DamagedOutput       a file of the output is not what it should be
│   ├── LeaseHeld           another run is working on the output
│   └── LeaseLost           another run has taken the output over
├── PoolError           6   a pool cannot do its work; what was finished is committed
│   ├── Stalled             nothing has moved for as long as the configuration allows
│   ├── TooManyRestarts     a pool's engines died more often than the configuration allows
│   └── NothingUseful       every row has its outcome, and no record is kept, or none has the scores asked for
├── ClusterError        7   a Ray cluster cannot be reached, refuses what it is asked, or is lost
└── Stopped            10   the run was asked to stop; the same command goes on
    └── BudgetSpent    11   the run has stopped before it takes more than its budget
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolve.masking import mask_text


class JobError(Exception):
    """The root of this package's errors. The message is meant for users and stands without a traceback.

    Passwords and tokens of URLs, and keys that show by their shape, are masked in it whoever wrote it.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(mask_text(message))


class ConfigError(JobError):
    """A wrong configuration; the message names the field, what came and what is allowed."""

    exit_code = 2


class SettingsChanged(ConfigError):
    """The output was begun under settings that give other results; the message names the fields."""


class SeedsChanged(ConfigError):
    """Rows were planned from seeds that are not there any more; the message names some, and what can be said."""


class EngineRefuses(ConfigError):
    """An engine cannot be set as it is configured, which only it, its model or its server could tell."""


class SeedError(JobError):
    """Seeds that cannot be read; the message names the file, the line, the field and what was expected."""

    exit_code = 3


class StorageError(JobError):
    """An operation on storage that failed for good; the message names the URL, operation and cause."""

    exit_code = 4


class MissingFile(StorageError):
    """The file asked for does not exist, though its bucket or folder may."""


class StoreAway(StorageError):
    """The store does not answer, or answers that it cannot now. Another try may succeed."""


class OutputError(JobError):
    """An output that cannot be worked on."""

    exit_code = 5


class DamagedOutput(OutputError):
    """A file of the output is not what it should be; the message names it."""


class LeaseHeld(OutputError):
    """Another run is working on the output; the message says which."""


class LeaseLost(OutputError):
    """Another run has taken the output over."""


class PoolError(JobError):
    """A pool cannot do its work. What was finished before is committed."""

    exit_code = 6


class Stalled(PoolError):
    """Nothing has moved for as long as the configuration allows; the message says what was waited for."""


class TooManyRestarts(PoolError):
    """The engines of a pool died more often than the configuration allows."""


class NothingUseful(PoolError):
    """Every row has its outcome, and there is nothing to use. `report` is the content of report.json."""

    def __init__(self, message: str, report: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.report = dict(report)


class ClusterError(JobError):
    """A Ray cluster cannot be reached, refuses a request or is lost; the message names it and what it said."""

    exit_code = 7


class Stopped(JobError):
    """The run was asked to stop and has committed what was finished."""

    exit_code = 10


class BudgetSpent(Stopped):
    """Going on would take more than limits.budget allows. What was finished is committed."""

    exit_code = 11
