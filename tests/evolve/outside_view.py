"""What a test can see, from outside, of what a sandbox let through."""

from __future__ import annotations

import select
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Outside:
    """Listens on the loopback, and remembers which sandbox processes there were."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.processes = sandbox_processes()

    def damage(self) -> list[str]:
        ready, _, _ = select.select([self.tcp, self.udp], [], [], 0)
        found = [f"network: {one}" for one in ready]
        found += [f"file: {one}" for one in self.folder.iterdir()]
        if (now := sandbox_processes()) != self.processes:
            found.append(f"processes: {self.processes} before, {now} after")
        return found

    def close(self) -> None:
        self.tcp.close()
        self.udp.close()


def sandbox_processes() -> set[int]:
    """Every process, ours or orphaned, that descends from a server of this checkout: forks keep its command line."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            line = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
            if b"evolve.sandbox.server" in line and bytes(ROOT) in line:
                found.add(int(folder.name))
        except OSError:
            continue  # it ended while we looked
    return found
