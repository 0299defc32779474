"""The reference of the site: a page on each kind of configuration, from its schema, and one on all commands.

reference(folder)      writes them, as tools/site_pages.py does
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from ray_jobs.cli.app import app
from ray_jobs.jobs.schemas import schema
from ray_jobs.service.schemas import KINDS
from tools.column_docs import lines_of

Schema = Mapping[str, Any]
TITLES = {
    "run": "a run",
    "serve": "the service",
    "autoif": "AutoIF",
    "score": "`evolve score`",
    "respond": "`evolve respond`",
    "analysis": "an analysis",
    "finish": "the steps at a run's end",
    "search": "`evolve optimize`",
}
DEFAULT_CHARACTERS = 60
"""A default that is longer is told as that of the class it is of."""


def reference(folder: Path) -> list[Path]:
    """Write the pages into `folder`; their paths."""
    pages = {f"{kind}.md": configuration_page(kind) for kind in TITLES} | {"commands.md": commands_page()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in pages]


def configuration_page(kind: str) -> str:
    """All fields of a kind of configuration, group by group."""
    whole = schema(kind, KINDS)
    groups = {"": whole, **dict(sorted(_classes(whole)))}
    lines = [f"# Configuration of {TITLES[kind]}", "", f"As `evolve schema {kind}` has it, for people.", ""]
    for name, group in groups.items():
        if not group.get("properties"):
            continue
        lines += [f"## {name}", ""] if name else []
        lines += [html.escape(str(group.get("description", "")), quote=False), "", *_fields(group), ""]
    return "\n".join(lines)


def _classes(part: Any) -> Iterator[tuple[str, Schema]]:
    """Every group of fields that has a name, wherever in a schema it stands."""
    if isinstance(part, Mapping):
        for name, item in part.get("$defs", {}).items():
            yield name, item
        if "properties" in part and str(part.get("title", "")).endswith("Config"):
            yield part["title"], part
        for item in part.values():
            yield from _classes(item)
    elif isinstance(part, list):
        for item in part:
            yield from _classes(item)


def _fields(group: Schema) -> list[str]:
    required = set(group.get("required", ()))
    rows = [
        (f"`{name}`", _type(field), "needed" if name in required else _default(field))
        for name, field in group["properties"].items()
    ]
    return lines_of([("field", "what it may be", "default"), ("---", "---", "---"), *rows])


def _type(field: Schema) -> str:
    """A type in words, with links to the groups that it names."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if not name.endswith("Config"):
            return "anything"
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{item}`" for item in field["enum"])
    if choices := field.get("anyOf") or field.get("oneOf"):
        return ", or ".join(dict.fromkeys(map(_type, choices)))
    if parts := field.get("allOf"):
        return _type(parts[0])
    if str(field.get("title", "")).endswith("Config"):
        return f"[{field['title']}](#{field['title'].lower()})"
    match field.get("type"):
        case "array":
            return f"a list: {_type(field.get('items', {}))}"
        case "object":
            inside = next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties"))
            kind = field.get("properties", {}).get("kind", {})
            if "pattern" in kind:
                return "a kind of an installed package"
            return f"a mapping: {_type(inside)}" if isinstance(inside, Mapping) else "a mapping"
        case "integer" | "number" as number:
            return f"{number}{_bounds(field)}"
        case None:
            return "anything"
        case other:
            return str(other)


def _bounds(field: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field]
    return f" ({', '.join(found)})" if found else ""


def _default(field: Schema) -> str:
    if "default" not in field:
        return "empty"
    text = json.dumps(field["default"], ensure_ascii=False)
    return f"`{text}`" if len(text) <= DEFAULT_CHARACTERS else "that of its fields"


def commands_page() -> str:
    """Every command with its arguments and options."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("evolve", ["--help"], resilient_parsing=True)
    lines = ["# Commands", "", html.escape(group.help, quote=False), "", html.escape(group.epilog, quote=False), ""]
    for name in group.list_commands(context):
        lines += _command(f"evolve {name}", group.get_command(context, name))
    return "\n".join(lines)


def _command(title: str, command: Any) -> list[str]:
    if inner := getattr(command, "commands", None):
        return [line for name, item in inner.items() for line in _command(f"{title} {name}", item)]
    rows = [
        (
            f"`{', '.join([*item.opts, *item.secondary_opts])}`",
            html.escape(getattr(item, "help", None) or "", quote=False),
        )
        for item in command.params
    ]
    table = lines_of([("argument or option", "what it is"), ("---", "---"), *rows]) if rows else []
    about = html.escape(command.help or "", quote=False)
    example = [f"`{command.epilog.removeprefix('Example: ')}`", ""] if command.epilog else []
    return [f"## {title}", "", about, "", *table, "", *example]
