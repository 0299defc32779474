"""The page: its head, its sections in order, and the HTML that the template makes of them."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ray_jobs.report.added import added_sections
from ray_jobs.report.answers import answers_section
from ray_jobs.report.blocks import Figure, Section
from ray_jobs.report.comparison import comparison_section
from ray_jobs.report.counts import funnel_section, operators_section, yields_section
from ray_jobs.report.measures import IC_IFD, MEASURES
from ray_jobs.report.others import analyses_section
from ray_jobs.report.scores import (
    difficulty_section,
    distance_section,
    length_section,
    reward_section,
    score_sections,
    top1_section,
)
from ray_jobs.report.selections import selections_section
from ray_jobs.report.showing import examples_section
from ray_jobs.report.spending import cost_section
from ray_jobs.report.view import NONE, View, count, percent

INDEX = "index.html"
TEMPLATE = "page.html.j2"
_PICTURES = re.compile(r'<meta name="pictures" content="([a-z0-9. -]*)">')


@dataclass(frozen=True)
class Page:
    """A finished page: its HTML, and the pictures in it as files beside it."""

    html: str
    pictures: dict[str, bytes]

    def files(self) -> dict[str, bytes]:
        """Everything by file name, the page last."""
        return {**self.pictures, INDEX: self.html.encode()}


def pictures_of(html: str) -> list[str]:
    """The pictures that stand beside a page of ours, by file name; none for any other page."""
    found = _PICTURES.search(html)
    return found[1].split() if found else []


def make_page(view: View) -> Page:
    """All sections of an output as one page that needs nothing beside it."""
    sections = [
        funnel_section(view),
        comparison_section(view),
        *score_sections(view),
        difficulty_section(view),
        distance_section(view),
        reward_section(view),
        *answers_section(view),
        top1_section(view),
        length_section(view),
        selections_section(view),
        operators_section(view),
        yields_section(view),
        cost_section(view),
        examples_section(view),
        *added_sections(view),
        analyses_section(view),
    ]
    figures = [block for section in sections for block in section.blocks if isinstance(block, Figure)]
    pictures = {name: data for figure in figures for name, data in _files(figure).items()}
    return Page(_render(view, sections, list(pictures)), pictures)


def _files(figure: Figure) -> dict[str, bytes]:
    return {f"{figure.name}.png": figure.wide, f"{figure.name}-narrow.png": figure.narrow}


def _render(view: View, sections: Sequence[Section], pictures: Sequence[str]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_url"] = _data_url
    return environment.get_template(TEMPLATE).render(
        head=_head(view), cards=_cards(view), sections=sections, files=[INDEX, *pictures], pictures=pictures, view=view
    )


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _head(view: View) -> dict[str, Any]:
    run = view.inputs.run
    models = [f"{name}: {model}" for name, model in view.inputs.models().items()]
    for stage in ("responder", "scorer"):
        settings = view.inputs.configuration.get(stage) or {}
        model = settings.get("model") or (settings.get("engine") or {}).get("model")
        models += [f"{stage}: {model}"] if model else []
    return {
        "title": view.place.rstrip("/").rpartition("/")[2] or view.place,
        "run_id": run.get("run_id") or "unknown",
        "kind": view.inputs.kind,
        "finished": view.inputs.finished,
        "models": models,
        "versions": run.get("versions") or {},
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _cards(view: View) -> list[tuple[str, str, str]]:
    """The figures at the top: what, the number, and what stands below it."""
    gathered, planned = view.gathered, view.inputs.planned()
    kept = gathered.kept()
    whole = planned.total() if planned else gathered.ended()
    tokens = sum(gathered.tokens.values())
    of = "planned" if planned else "with an outcome"
    cards = [("kept records", count(kept), f"{percent(kept, whole)} of {count(whole)} {of}")]
    if view.inputs.plan:
        cards.append(("seeds", count(view.inputs.plan.usable_seeds), f"through {len(view.evolvers)} evolvers"))
    if tokens:
        each = count(tokens / kept) if kept else NONE
        cards.append(("tokens a kept record", each, f"{count(tokens)} in all, lost records included"))
    for name in view.evolvers:
        scores = gathered.histogram(IC_IFD, name)
        if scores.n:
            cards.append(
                (f"mean IC-IFD, {view.title(name)}", MEASURES[IC_IFD].shown(scores.mean), "1/nat, kept records")
            )
    return cards
