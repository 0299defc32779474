"""The `evolve` command as a real process on a real cluster, and what its output holds in the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ray_jobs.output import accept
from ray_jobs.storage.store import Store, open_store
from tests.chaos.nodes import STARTUP, Nodes, until
from tests.ray_jobs.samples import plain_tables

ROOT = Path(__file__).parents[2]
LONGEST = 480.0
"""Seconds that a command of the short tests may take to its end, on a machine that others use too."""

Records = set[tuple[str | None, ...]]


@dataclass(frozen=True)
class Place:
    """Where an output is to be: its URL and the options to reach it."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)


def settings(nodes: Nodes, folder: Path, place: Place, seeds: int) -> dict[str, Any]:
    """Two evolvers on every seed, a responder and a scorer, on engines that take a quarter of a second a call."""
    path = folder / f"seeds-{seeds}.jsonl"
    if not path.exists():
        lines = (json.dumps({"instruction": f"Describe step {number} of a long procedure."}) for number in range(seeds))
        path.write_text("\n".join(lines), encoding="utf-8")
    engine = {
        "kind": "scripted",
        "slots": 24,
        "decode_rate": 160,
        "sigma": 0.7,
        "refuse_share": 0.02,
        "call_log": str(folder / "calls"),
    }
    pool = {"size": 1, "cpus": 0.25, "batch_rows": 16}
    return {
        "output": place.url,
        "storage": place.options,
        "seeds": {"path": str(path)},
        "strategy": {"rounds": 2},
        "evolvers": {
            "small": {"engine": {**engine, "model": "small"}, "pool": pool},
            "large": {"engine": {**engine, "model": "large", "decode_rate": 120}, "pool": pool},
        },
        "responder": {"engine": {**engine, "model": "responder", "slots": 64}, "pool": pool},
        "scorer": {"kind": "scripted", "pool": pool},
        "limits": {"stall_seconds": 300, "storage_seconds": 60, "engine_restarts": 50},
        "ray": {"address": nodes.address},
    }


@dataclass
class Job:
    """One configuration, its output, and the commands that work on it."""

    folder: Path
    config: dict[str, Any]
    commands: list[Command] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many prompts the engines have been given so far."""
        log = self.folder / "calls"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    @property
    def store(self) -> Store:
        """The output, for looking into it."""
        return open_store(self.config["output"], self.config["storage"])

    @property
    def parts(self) -> int:
        """How many parts are committed."""
        return len(accept.load(self.store).parts)

    def start(self) -> Command:
        """`evolve run`, in a process of its own."""
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        return self._command("run", str(path))

    def start_working(self) -> Command:
        """`start`, and wait until the engines are asked for something."""
        before, command = self.calls, self.start()
        until(lambda: command.is_over or self.calls > before, STARTUP, "the first call of an engine")
        return command

    def finish(self, seconds: float = LONGEST) -> str:
        """Run to the end, which must be success; its output."""
        command = self.start()
        assert command.wait(seconds) == 0, command.text
        return command.text

    def verify(self) -> None:
        """`evolve verify` must find nothing, and the run finished."""
        command = self._start_verify()
        assert command.wait(STARTUP) == 0, command.text
        assert "not finished" not in command.text, command.text

    def verify_code(self) -> int:
        """The exit code of `evolve verify`."""
        return self._start_verify().wait(STARTUP)

    def prompts(self) -> set[str]:
        """The digests of all prompts that the engines have been given."""
        return set((self.folder / "calls").read_text(encoding="utf-8").split())

    def records(self) -> Records:
        """Every record, as a plain reader of the two folders sees them; none may stand there twice."""
        store = self.store
        found: list[tuple[str | None, ...]] = []
        for folder in ("data", "rejected"):
            table = pa.concat_tables(plain_tables(store, folder))
            text = table["output"] if folder == "data" else table["reason"]
            found += zip(
                *(column.to_pylist() for column in (table["record_id"], table["instruction"], text)), strict=True
            )
        assert len(found) == len(set(found))
        assert len(found) == len({record_id for record_id, *_ in found})
        return set(found)

    def rows(self) -> int:
        """How many different rows the two folders hold."""
        tables = [table for folder in ("data", "rejected") for table in plain_tables(self.store, folder)]
        return len({row_id for table in tables for row_id in pc.unique(table["row_id"]).to_pylist()})

    def end(self) -> None:
        """Kill what still runs, suspended or not."""
        for command in self.commands:
            command.kill()

    def _start_verify(self) -> Command:
        options = yaml.safe_dump(self.config["storage"])
        return self._command("verify", self.config["output"], "--storage", options)

    def _command(self, *arguments: str) -> Command:
        self.commands.append(Command(list(arguments), self.folder))
        return self.commands[-1]


class Command:
    """An `evolve` command under way. Its output goes to a file, so that no pipe can fill up."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        number = len(list(folder.glob("command-*.log")))
        self._log = folder / f"command-{number:03d}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ray_jobs.cli", *arguments],
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def text(self) -> str:
        """All that it has said so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float) -> int:
        """Its exit code; a process that takes longer is killed and fails the test."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"not over after {seconds:g} s:\n{self.text}") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is over."""
        self._process.send_signal(number)

    def kill(self) -> bool:
        """SIGKILL; whether there was still something to kill."""
        alive = not self.is_over
        self._process.kill()
        self._process.wait()
        return alive
