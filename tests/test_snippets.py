"""Every snippet of the documents is tried, as far as that needs no engine, cluster or network.

A fence says what stands in it. `sh`: each command is parsed as its own parser takes it, and the settings that it would
work with are checked; `yaml`: is checked as (a part of) the configuration that it is; `python`: is run, by
tests/ray_jobs/datasets/test_documented.py; `text`: what a program prints, or a drawing, of which nothing is tried. What
cannot be tried says why in the line above: `<!-- not run: REASON -->`. Commands in a line of text are looked at for
their names and options.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from ray_jobs.cli.app import app
from ray_jobs.config.load import overridden, read_config, read_settings, validated
from ray_jobs.forecast.rates import Rates
from ray_jobs.jobs.analysis.config import AnalysisRunConfig
from ray_jobs.jobs.load import load_config
from ray_jobs.jobs.method_search.config import OptimizeConfig
from ray_jobs.service.config import ServedRunConfig

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PAGES += sorted(path for place in ("docs", "examples", "docker") for path in (ROOT / place).rglob("*.md"))
RUN_WHOLE = ROOT / "docs" / "using_the_data.md"
"""The page that tests/ray_jobs/datasets/test_documented.py runs as it stands."""
RUN_IN_ORDER = ROOT / "docs" / "tutorial.md"
"""The page whose commands tests/ray_jobs/test_tutorial.py runs one after the other."""
LANGUAGES = {"sh", "yaml", "python", "text"}
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>\S.*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
INLINE = re.compile(r"`(evolve [^`\n]+)`")
COMMAND = re.compile(r"(?:^|[;&|(] *|&& )evolve (.+?)(?= *(?:&&|;|\||>|#|$))")
PLUGIN, ADDED = "examples/plugin/", "longest"
"""Configurations and a command that want the example's package, with which tests/test_plugin.py runs them."""
RUNS = ("run", "validate", "plan", "submit")
BASE: dict[str, Any] = {
    "output": "out/tried",
    "seeds": {"path": "examples/seeds.jsonl"},
    "evolvers": {"small": {"engine": {"kind": "scripted"}, "pool": {"size": 1}}},
    "responder": {"kind": "evolver"},
}
"""What a part of a configuration is completed with."""


@dataclass(frozen=True)
class Snippet:
    """A fence of a page."""

    page: Path
    line: int
    language: str
    text: str
    why: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def snippets_of(page: Path) -> list[Snippet]:
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["why"])
        for found in FENCE.finditer(text)
    ]


def commands(text: str) -> list[str]:
    """The commands of a shell snippet: continued lines joined, comments left out."""
    lines = (shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines())
    joined = (shlex.join(words) for words in lines if words)
    parts = (part for line in joined for part in line.split(" '&&' "))
    return [part.partition(" '>' ")[0] for part in parts]


SNIPPETS = [snippet for page in PAGES for snippet in snippets_of(page)]
TRIED = [snippet for snippet in SNIPPETS if snippet.why is None]
SHELL = [
    (str(item), command)
    for item in TRIED
    if item.language == "sh" and item.page != RUN_IN_ORDER
    for command in commands(item.text)
]
YAML = [item for item in TRIED if item.language == "yaml" and item.page != RUN_WHOLE]


def command_of(name: str) -> Any:
    # typer carries a click of its own
    group: Any = typer.main.get_command(app)
    found = group.get_command(group.make_context("evolve", ["--help"], resilient_parsing=True), name)
    assert found is not None, f"there is no command {name}"
    return found


def given(command: Any, words: list[str]) -> dict[str, Any]:
    """The arguments as the command's own parser reads them. AssertionError where it would refuse them."""
    try:
        with command.make_context(words[0], words[1:]) as context:
            return dict(context.params)
    except (SystemExit, Exception) as refused:
        raise AssertionError(f"evolve {shlex.join(words)}: {getattr(refused, 'message', refused)}") from None


def try_evolve(words: list[str]) -> None:
    """Parse an `evolve` command, and check the settings that it would work with. Capitals stand for a user's own."""
    if words[0] == ADDED:
        return
    arguments = given(command_of(words[0]), words)
    config, settings = arguments.get("config"), arguments.get("settings") or []
    if words[0] == "analyse" and not arguments["name"].isupper():
        analysis = overridden(read_settings(ROOT / config) if config else {}, settings)
        raw = {"source": "out", "output": "out/x", "analysis": analysis | {"kind": arguments["name"]}}
        validated(AnalysisRunConfig, raw, words[0])
    elif config and not str(config).isupper():
        assert (ROOT / config).is_file(), f"{config} is not there"
        if words[0] == "optimize":
            read_config(OptimizeConfig, ROOT / config, settings)
        elif words[0] in RUNS and not str(config).startswith(PLUGIN):
            load_config(ROOT / config, settings)


def try_other(words: list[str]) -> None:
    """What another program is given here: targets, files, versions and options that must be there."""
    match words:
        case ["make", *targets]:
            makefile = (ROOT / "Makefile").read_text()
            assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
        case ["pip", "install", *rest] if [word for word in rest if word.startswith("torch==")]:
            needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
            assert rest[-1] in needs
        case ["pip", "install", "--no-deps", *rest]:
            assert (ROOT / rest[-1]).exists()
        case ["docker", "build", "-f", file, *_]:
            assert (ROOT / file).is_file()
        case ["python", program, *options]:
            text = (ROOT / program).read_text()
            assert [option for option in options if option.startswith("--") and f'"{option}"' not in text] == []
        case ["python3.11", "-m", "venv", _] | [".", ".venv/bin/activate"]:
            pass
        case ["ray", "job", "submit", *rest]:
            assert rest[rest.index("--") + 1 :][:3] == ["python", "-m", "ray_jobs.cli"]
            try_evolve(rest[rest.index("--") + 4 :])
        case _:
            raise AssertionError(f"{shlex.join(words)}: nothing here knows how to try this")


def test_every_fence_says_what_is_in_it() -> None:
    assert [str(item) for item in SNIPPETS if item.language not in LANGUAGES] == []
    fences = sum(len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert fences == 2 * len(SNIPPETS)


def test_python_stands_where_it_is_run() -> None:
    assert {item.page for item in TRIED if item.language == "python"} == {RUN_WHOLE}


@pytest.mark.parametrize(("place", "command"), SHELL)
def test_a_command_is_taken(place: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    if words[0] in ("evolve", ".venv/bin/evolve"):
        try_evolve(words[1:])
    else:
        try_other(words)


def check(settings: Mapping[str, Any]) -> None:
    """A part of a configuration, completed and checked."""
    if "engines" in settings:
        validated(OptimizeConfig, settings, "search")
        return
    if "service" in settings:
        validated(ServedRunConfig, BASE | settings, "service")
        return
    if "bytes_per_row" in settings:
        validated(Rates, settings, "rates")
        return
    if set(settings) <= {"engine", "pool"}:
        settings = {"evolvers": {"small": {"engine": {"model": "MODEL"}, "pool": {"gpus": 1}, **settings}}}
    load_config(BASE | settings)


@pytest.mark.parametrize("snippet", YAML, ids=str)
def test_a_configuration_is_taken(snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # files that a page has its reader write
    (tmp_path / "mine.jinja").write_text("{{ messages[0].content }}")
    for variable in re.findall(r"\{from: (\w+)\}", snippet.text):
        monkeypatch.setenv(variable, "a-variable-of-the-reader")
    check(yaml.safe_load(snippet.text))


def inline() -> list[tuple[str, str]]:
    """Every command that stands within a line of text, with its page."""
    found = set[tuple[str, str]]()
    for page in PAGES:
        for line in INLINE.findall(page.read_text(encoding="utf-8")):
            found |= {(str(page.relative_to(ROOT)), command) for command in COMMAND.findall(line.strip())}
    return sorted(found)


@pytest.mark.parametrize(("page", "command"), inline())
def test_a_command_in_a_text_is_one_that_there_is(page: str, command: str) -> None:
    words = shlex.split(command.replace("…", "").replace("...", ""))
    if not words or words[0].startswith("-") or words[0] == ADDED:
        return
    known = command_of(words[0])
    options = {name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
    assert used <= options | {"--help"}
