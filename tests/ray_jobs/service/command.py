"""The service as its users start it: the command in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.ray_jobs.ray_head import free_ports
from tests.ray_jobs.service.warm import TOKEN

READY_SECONDS = 240.0
END_SECONDS = 90.0


@dataclass
class Service:
    """A service that is ready, and what it has printed."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """Ask it to end, and return how it did."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_SECONDS)


@contextmanager
def evolve_serve(folder: Path, settings: Mapping[str, Any]) -> Iterator[Service]:
    """Start `evolve serve` and wait until it is ready; it is ended when the context ends."""
    port = free_ports(1)[0]
    config = folder / "serve.yaml"
    config.write_text(yaml.safe_dump({**settings, "service": {**settings.get("service", {}), "port": port}}))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs.cli", "serve", str(config)],
        env={
            **inherited,
            "EVOLVE_SERVICE_TOKENS": f"anna={TOKEN}",
            "EVOLVE_SERVICE_TOKEN_FILE": str(folder / "tokens" / "tokens.json"),
            "HF_HUB_OFFLINE": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    service, ready = Service(process, f"http://127.0.0.1:{port}"), threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            service.lines.append(line)
            if line.startswith("ready"):
                ready.set()
        ready.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        assert ready.wait(READY_SECONDS), service.lines
        assert process.poll() is None, service.lines
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(END_SECONDS)
