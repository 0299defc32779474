"""What can go wrong in scoring, as one tree.

ScoringError
├── ConfigError            a setting has a value that is not allowed, or one this machine cannot serve
└── ModelError
    ├── ModelNotFound      nothing under that path or hub id
    ├── ModelLoadError     something is there that cannot be loaded as what is wanted
    └── ModelUnsupported   it loads, but cannot be scored as configured

A row never raises: what is wrong with a row ends up in its `Scores.note`.
"""


class ScoringError(Exception):
    """Base of every error that scoring raises on purpose."""


class ConfigError(ScoringError):
    """A setting is invalid; the message names the field, its value and what is allowed."""


class ModelError(ScoringError):
    """The scorer model cannot be used."""


class ModelNotFound(ModelError):
    """No model under the given path or hub id."""


class ModelLoadError(ModelError):
    """The files are there, but do not load as the kind of model that is wanted with all its weights."""


class ModelUnsupported(ModelError):
    """The model loads, but the configured attention, template or loss does not fit it."""
