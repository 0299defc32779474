"""What a run of the tests ends with: why tests were skipped, which were left out, and the slowest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

SLOWEST = 10
SLOW_SECONDS = 1.0


class Summary:
    """A plugin that counts what is left out and tells at the end."""

    def __init__(self, markers: Iterable[str], chosen_by: str) -> None:
        """`markers` are the lines of the configuration, `name: what it means`; `chosen_by` is what -m got."""
        described = (line.split(":", 1) for line in markers if ":" in line)
        self._markers = {name: text.strip() for name, text in described if name in re.findall(r"\w+", chosen_by)}
        self._left_out = Counter[str]()

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """A test counts under the first of its marks in the configuration's order."""
        self._left_out.update(
            next((name for name in self._markers if item.get_closest_marker(name)), "") for item in items
        )

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the process that writes the summary, where several run the tests: all of them leave out the same."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["left_out"] = dict(self._left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what such a process tells; one that died tells nothing."""
        self._left_out |= Counter(getattr(node, "workeroutput", {}).get("left_out", {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the lines."""
        stats = terminalreporter.stats
        lines = [
            *_counted("skipped, and why", Counter(_reason(report) for report in stats.get("skipped", []))),
            *_counted("left out by their marks", self._left_out_described()),
            *_slowest(report for reports in stats.values() for report in reports),
        ]
        if lines:
            terminalreporter.section("summary")
            terminalreporter.write_line("\n".join(lines))

    def _left_out_described(self) -> Counter[str]:
        named = {name: count for name, count in self._left_out.items() if name}
        return Counter({f"{name}: {self._markers[name]}": count for name, count in named.items()})


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def _counted(title: str, found: Counter[str]) -> list[str]:
    if not found:
        return []
    return [f"{title}: {found.total()}", *(f"{count:>7}  {text}" for text, count in found.most_common())]


def _slowest(reports: Iterable[object]) -> list[str]:
    seconds = Counter[str]()
    for report in reports:
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid] += report.duration  # type: ignore[assignment]
    slow = [(test, spent) for test, spent in seconds.most_common(SLOWEST) if spent >= SLOW_SECONDS]
    if not slow:
        return []
    return ["slowest, in seconds, with what they set up:", *(f"{spent:7.1f}  {test}" for test, spent in slow)]
