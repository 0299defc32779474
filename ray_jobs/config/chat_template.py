"""A chat template in a configuration: the name of a file, which becomes the file's text as soon as it is read.

So the text travels to workers that do not have the file, and counts among the settings that change results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evolve.engines.chat import variables
from evolve.errors import SettingError


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
