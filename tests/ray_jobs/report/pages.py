"""A page as tests look at it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from ray_jobs.report.make import report
from ray_jobs.report.page import Page
from ray_jobs.storage.store import Store

NOT_ANALYSED = "Not analysed. To measure it, run"


class Parsed(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(store: Store, **options: Any) -> tuple[Page, Parsed]:
    page = report(store, store.url, say=lambda _: None, **options)
    return page, Parsed(page.html)
