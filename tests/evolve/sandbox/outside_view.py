"""What a test can see, from outside, of what a sandbox let through."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NOBODY = 65534
UNPRIVILEGED = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
NO_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
"""Starts root's programs without any capability, as a pod that drops all of them does."""
NO_USER_NAMESPACES = [
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    *('echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"),
]
READ_ONLY_SETTINGS = [
    *("unshare", "--mount", "sh", "-c"),
    *('mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"', "sh"),
]
"""As containers have them. The limits of an IPC namespace then stay, as they do before Linux 6.9."""


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
        found = [f"network: {item}" for item in ready]
        found += [f"file: {path}" for path in self.folder.iterdir()]
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


def started(prefix: list[str], *arguments: str) -> subprocess.CompletedProcess[str] | None:
    """A Python program of this checkout, run by way of the command `prefix`; None where that cannot be done here."""
    for python in (sys.executable, "/usr/bin/python3"):
        # setpriv itself may still start what the user may not: its rights end with the first program.
        through = [*prefix, "sh", "-c", 'exec "$@"', "sh", python]
        command = [*through, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                continue
        except FileNotFoundError:
            continue
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            [*through, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    return None
