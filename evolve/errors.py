"""The errors of text generation.

EvolveError
├── TemplateError       a prompt template that a user supplied cannot be used
├── SearchError         a search for a better method cannot start or go on
├── SettingError        an engine's settings do not fit its model or its build; the message begins with the field
├── EngineError
│   ├── PromptRefused   the engine will never complete this prompt (too long, undecodable): the row's fault
│   │   ├── EngineKiller    it has ended every engine that was asked
│   │   ├── ControlTokens   it holds control tokens of its model, and these are not to be read
│   │   └── ReplyWithheld   its reply is no answer: a filter ended it, or it calls a tool
│   └── EngineDied      the engine is gone: the actor's fault, never the row's
│       └── SettingsRefused   the engine takes no prompt at all, as it is set: the configuration's fault
└── SandboxError        the machine lacks the guards that running model-written code needs
"""

from __future__ import annotations


class EvolveError(Exception):
    """The root of this package's errors. The message is meant for users."""


class TemplateError(EvolveError):
    """A prompt template that cannot be used; the message names the file and what is wrong in it."""


class SearchError(EvolveError):
    """A search for a better method that cannot start or go on: too few seeds, or a state that is not its own."""


class SettingError(EvolveError):
    """An engine's settings that do not fit its model or its build; the message begins with the field."""


class EngineError(EvolveError):
    """A completion that did not come."""


class PromptRefused(EngineError):
    """The engine cannot complete this prompt however often it is asked. Ends the round as failed."""

    @property
    def reason(self) -> str:
        """The reason that a failed round states."""
        return type(self).__name__


class EngineKiller(PromptRefused):
    """The prompt of a row that has ended every engine which saw it. It is not asked again."""

    @property
    def reason(self) -> str:
        """The reason that a failed round states."""
        return "engine_died"


class ControlTokens(PromptRefused):
    """The prompt's texts hold control tokens of the model, which are not to be read."""

    @property
    def reason(self) -> str:
        """The reason that a failed round states."""
        return "control_tokens"


class ReplyWithheld(PromptRefused):
    """The reply to the prompt is no finished answer. `ended` is the engine's word for how it ended."""

    def __init__(self, ended: str, message: str) -> None:
        super().__init__(message)
        self._ended = ended

    @property
    def reason(self) -> str:
        """The reason that a failed round states."""
        return self._ended


class EngineDied(EngineError):
    """The engine cannot complete any prompt any more. Ends the actor, which Ray starts again."""


class SettingsRefused(EngineDied):
    """The engine takes no prompt as it is set. The message names the field; trying again helps nobody."""


class SandboxError(EvolveError):
    """A guard that running model-written code needs is missing on this machine."""
