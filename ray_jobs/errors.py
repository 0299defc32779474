"""The errors that end a command, each with the exit code that the command line leaves with.

JobError
├── ConfigError         2   the configuration is wrong; nothing was started
├── SeedError           3   the seeds cannot be read as configured
└── StorageError        4   a file or an object store does not do what it is asked
    └── MissingFile         the file that was asked for does not exist
"""

from __future__ import annotations


class JobError(Exception):
    """The root of this package's errors. The message is meant for users and stands without a traceback."""

    exit_code = 1


class ConfigError(JobError):
    """A wrong configuration; the message names the field, what came and what is allowed."""

    exit_code = 2


class SeedError(JobError):
    """Seeds that cannot be read; the message names the file, the line, the field and what was expected."""

    exit_code = 3


class StorageError(JobError):
    """An operation on storage that failed for good; the message names the URL, operation and cause."""

    exit_code = 4


class MissingFile(StorageError):
    """The file asked for does not exist, though its bucket or folder may."""
