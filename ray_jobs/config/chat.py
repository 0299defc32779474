"""How conversations reach a model, as a configuration says it.

A chat template is the name of a file, which becomes the file's text as soon as it is read: so the text travels to
workers that do not have the file, and counts among the settings that change results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from evolve.engines.chat import Chat, variables
from evolve.errors import SettingError
from ray_jobs.config.base import Strict


def read_template(value: Any) -> Any:
    """The template's text: `value` itself where it holds a brace, else what the file holds that it names.

    Raises ValueError, which becomes an error of the field.
    """
    if not isinstance(value, str):
        return value
    if "{" not in value:
        try:
            value = Path(value).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(f"expected a UTF-8 file of a chat template, {value} is none") from None
        except OSError as error:
            raise ValueError(f"expected a file of a chat template, {value}: {error.strerror}") from None
    try:
        variables(value)
    except SettingError as error:
        raise ValueError(str(error).removeprefix("chat_template: ")) from None
    return value


class ChatConfig(Strict):
    """How conversations reach a model that has a chat template.

    `system` goes before prompts that have no system prompt of their own. `template_arguments` are handed to the model's
    chat template, or to the one in the file `chat_template`, whose text is kept here once it is read. `reasoning` says
    how what a model thinks aloud is told from its answer; it may take `reasoning_tokens` beside those of the answer,
    null for a limit that both share.
    """

    system: str = Field("", json_schema_extra={"before": ""})
    template_arguments: dict[str, Any] = Field(default_factory=dict)
    chat_template: Annotated[str, BeforeValidator(read_template)] | None = Field(
        None, json_schema_extra={"before": None}
    )

    def chat(self) -> Chat:
        """The value that engines use."""
        return Chat(self.system, self.template_arguments, self.chat_template)
