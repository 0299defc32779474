"""How a conversation reaches a model: the engine's system prompt, the chat template and the arguments it reads.

Free of vLLM, so that what does not fit is told before anything is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta

from evolve.errors import SettingError
from evolve.records import Message

GIVEN = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "chat_template"}
    | {"bos_token", "eos_token", "pad_token", "unk_token", "raise_exception", "strftime_now", "namespace", "range"}
    | {"tokenize", "return_dict", "return_tensors", "padding", "truncation", "max_length"}
)
"""Names in templates that the tokenizer fills in itself, or that no configuration may change."""
_GENERATION = re.compile(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}")
"""The tag by which transformers marks what the assistant says; plain Jinja does not know it."""


@dataclass(frozen=True)
class Chat:
    """What an engine's settings make of a conversation.

    `system` goes before a conversation that has no system prompt of its own. `arguments` are handed to the chat
    template, which is the model's own unless `template` holds another one's text.
    """

    system: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    template: str | None = None

    def turns(self, messages: tuple[Message, ...]) -> list[dict[str, str]]:
        """The conversation as chat templates and servers take it."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        own = any(message.role == "system" for message in messages)
        return turns if own or not self.system else [{"role": "system", "content": self.system}, *turns]

    def check(self, template: str | None) -> None:
        """Refuse what a model cannot use whose own template is `template`, None where it has none.

        Raises SettingError, naming the field.
        """
        used = self.template or template
        if used is None:
            if self.arguments or self.system:
                name = "template_arguments" if self.arguments else "system"
                raise SettingError(f"{name}: the model has no chat template; chat_template may name a file with one")
            return
        read = variables(used) - GIVEN
        for name in self.arguments:
            if name not in read:
                near = get_close_matches(name, read, 1, 0.6)
                hint = f"; did you mean {near[0]}?" if near else ""
                known = ", ".join(sorted(read)) or "none"
                raise SettingError(
                    f"template_arguments.{name}: the chat template does not read it{hint} (it reads: {known})"
                )


def variables(template: str) -> set[str]:
    """The names that a chat template reads and does not set itself. Raises SettingError where it is no template."""
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])  # parses, renders nothing
    try:
        return jinja2.meta.find_undeclared_variables(environment.parse(_GENERATION.sub("", template)))
    except jinja2.TemplateSyntaxError as error:
        raise SettingError(f"chat_template: line {error.lineno}: is no Jinja template: {error.message}") from None


def found_template(model: str) -> tuple[bool, str | None]:
    """Whether the files of `model`, a folder or a hub id, are on this machine, and the chat template among them.

    A tokenizer may have several templates; the one named "default" counts.
    """
    if _file(model, "config.json") is None:
        return False, None
    if path := _file(model, "chat_template.jinja"):
        return True, path.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (path := _file(model, name)) and (template := _default(_json(path).get("chat_template"))):
            return True, template
    return True, None


def _file(model: str, name: str) -> Path | None:
    folder = Path(model)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if model.count("/") != 1:
        return None
    # here, for most configurations name a folder or no model at all
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(model, name)
    return Path(cached) if isinstance(cached, str) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # whoever loads the model says what is wrong with its files
    return found if isinstance(found, dict) else {}


def _default(value: Any) -> str | None:
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None
