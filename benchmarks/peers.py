"""What a request to a server costs here and with others: CPU, speed, a small run, and what a kill repeats.

Each seed is asked about three times, each time with what came before: 1,500 seeds are 4,500 requests. One server on
loopback, a process of its own, answers at once or after 200 ms, counts what it is asked, and knows each conversation
that it was asked for before. Every peer is a program in `peer_programs/`, run by the interpreter of an environment of
its own (`--environments FOLDER/NAME/bin/python`); those without one are named and left out. CPU is that of all
processes of the program, and steady means between a quarter and three quarters of the requests.

The environments hold: datatrove: `datatrove==0.10.1 httpx aiosqlite aiofiles orjson xxhash`; curator:
`bespokelabs-curator==0.1.31`; data_designer: `data-designer==0.9.7`; distilabel: `distilabel[openai]==1.5.3 requests
pillow`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from tables import markdown, publish

HERE = Path(__file__).parent
PROGRAMS = HERE / "peer_programs"
OWN = ("bare", "here", "ray_data_llm")
"""Programs that the environment of this one can run."""
STEPS = 3
LONGEST = 240.0
"""Seconds after which a program is taken to hang."""
SAMPLE_SECONDS = 0.1


class Failed(Exception):
    """A program that did not do its work, with the end of its log."""


@dataclass(frozen=True)
class Measured:
    """One program on one server: seconds of all of it, CPU ms a request and requests/s of its steady middle."""

    seconds: float
    cpu: float
    rate: float


class Server:
    """The server as a process, and what it tells of what it was asked."""

    def __init__(self, delay: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / "server.py"), str(delay)],
            stdout=subprocess.PIPE,
            # whoever is killed leaves requests that cannot be read
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.root = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def url(self) -> str:
        """The base of the API."""
        return f"{self.root}/v1"

    def counts(self) -> tuple[int, int]:
        """How many requests were answered since `reset`, and how many of them had been asked before."""
        with urllib.request.urlopen(f"{self.root}/counts") as answer:
            answered, repeated = json.load(answer)
        return int(answered), int(repeated)

    def reset(self) -> None:
        """Count anew."""
        urllib.request.urlopen(f"{self.root}/reset").close()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


@dataclass(frozen=True)
class Peer:
    """A program, and the interpreter that runs it."""

    name: str
    python: str

    def version(self) -> str:
        """What the program calls itself."""
        told = subprocess.run(
            [*self._command(), "version"], env=self._environment(), capture_output=True, text=True, check=True
        )
        return told.stdout.strip().splitlines()[-1]

    def start(self, server: Server, folder: Path, at_once: int) -> subprocess.Popen[bytes]:
        """Begin, or go on with what lies in `folder`."""
        arguments = [server.url, str(folder / "seeds.jsonl"), str(folder / "out"), str(at_once)]
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*self._command(), *arguments],
                cwd=folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        # what is found beside this program is no part of another's environment
        without = () if self.python == sys.executable else ("PYTHONPATH", "VIRTUAL_ENV")
        return {name: value for name, value in os.environ.items() if name not in without}

    def _command(self) -> list[str]:
        return [self.python, str(PROGRAMS / f"peer_{self.name}.py")]


def write_seeds(folder: Path, seeds: int) -> None:
    """Seeds, each with a number."""
    with (folder / "seeds.jsonl").open("w", encoding="utf-8") as file:
        for number in range(seeds):
            text = f"Explain step {number} of the work. " + "x " * 80
            file.write(json.dumps({"id": f"{number:06d}", "instruction": text}) + "\n")


def cpu_of(process: psutil.Process, seen: dict[int, float]) -> float:
    """CPU seconds of a process and all below it so far; what has ended keeps its last figure in `seen`."""
    for item in [process, *process.children(recursive=True)]:
        try:
            times = item.cpu_times()
        except psutil.Error:
            continue
        seen[item.pid] = times.user + times.system
    return sum(seen.values())


def measure(peer: Peer, server: Server, seeds: int, at_once: int) -> Measured:
    """Run a program to its end. Raises Failed."""
    requests = STEPS * seeds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder, seeds)
        server.reset()
        began, seen, marks = time.monotonic(), dict[int, float](), list[tuple[int, float, float]]()
        running = peer.start(server, folder, at_once)
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                marks.append((server.counts()[0], time.monotonic(), cpu_of(process, seen)))
            except psutil.Error:
                break
            if time.monotonic() - began > LONGEST:
                end(running)
            time.sleep(SAMPLE_SECONDS)
        seconds = time.monotonic() - began
        answered = server.counts()[0]
        if running.wait() or answered < requests:
            raise Failed(f"{answered} of {requests} requests\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
    first = next(mark for mark in marks if mark[0] >= requests / 4)
    last = next((mark for mark in marks if mark[0] >= requests * 3 / 4), marks[-1])
    count, span, cpu = (later - sooner for later, sooner in zip(last, first, strict=True))
    if not count:
        # all came between two looks
        return Measured(seconds, 1000 * marks[-1][2] / requests, requests / seconds)
    return Measured(seconds, 1000 * cpu / count, count / span)


def repeated_after_kill(peer: Peer, server: Server, seeds: int, at_once: int) -> int | None:
    """Kill a program at half of its requests, all processes, and let it go on: how many it asked for again."""
    requests = STEPS * seeds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_seeds(folder, seeds)
        server.reset()
        running = peer.start(server, folder, at_once)
        while running.poll() is None and server.counts()[0] < requests / 2:
            time.sleep(SAMPLE_SECONDS)
        end(running)
        running = peer.start(server, folder, at_once)
        try:
            running.wait(LONGEST)
        except subprocess.TimeoutExpired:
            end(running)
            return None
        return server.counts()[1] if running.returncode == 0 else None


def one_pass(peer: Peer, fast: Server, slow: Server, args: argparse.Namespace) -> list[float | None]:
    """The figures of one program, in the order of the table. Raises Failed."""
    at_once, later = (measure(peer, server, args.seeds, args.at_once) for server in (fast, slow))
    small = measure(peer, fast, args.small, args.at_once)
    repeated = repeated_after_kill(peer, slow, args.seeds, args.at_once) if peer.name != "bare" else None
    return [at_once.cpu, at_once.rate, later.rate, small.seconds, repeated]


def end(running: subprocess.Popen[bytes]) -> None:
    """Kill a program and everything that it has started, then wait until it is gone."""
    try:
        processes = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    except psutil.Error:
        processes = []
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    psutil.wait_procs(processes, 10)
    running.wait()


def peers_in(environments: Path | None, only: Sequence[str]) -> tuple[list[Peer], list[str]]:
    """Those that can be run, and the names of those without an environment."""
    found, missing = list[Peer](), list[str]()
    for program in sorted(PROGRAMS.glob("peer_*.py")):
        name = program.stem.removeprefix("peer_")
        if only and name not in only:
            continue
        python = environments / name / "bin" / "python" if environments else None
        if python and python.exists():
            found.append(Peer(name, str(python)))
        elif name in OWN:
            found.append(Peer(name, sys.executable))
        else:
            missing.append(name)
    return sorted(found, key=lambda peer: (peer.name not in ("bare", "here"), peer.name)), missing


def main() -> None:
    """Measure and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=Path, help="a folder with an environment for each peer")
    parser.add_argument("--only", nargs="*", default=[], help="names of programs")
    parser.add_argument("--seeds", type=int, default=1500)
    parser.add_argument("--small", type=int, default=100, help="seeds of the small run")
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    peers, missing = peers_in(args.environments, args.only)
    load = os.getloadavg()[0]
    servers = {delay: Server(delay) for delay in (0.0, 0.2)}
    fast, slow = servers.values()
    found: dict[str, list[list[float | None]]] = {peer.name: [] for peer in peers}
    try:
        for _ in range(args.passes):
            for peer in peers:
                try:
                    found[peer.name].append(one_pass(peer, fast, slow, args))
                    print(peer.name, *found[peer.name][-1], flush=True)
                except Failed as failed:
                    print(f"{peer.name} failed: {failed}", flush=True)
    finally:
        for server in servers.values():
            server.close()
    done = [peer for peer in peers if found[peer.name]]
    missing += [f"{peer.name} (failed)" for peer in peers if not found[peer.name]]
    rows = [[peer.version(), *(_median(values) for values in zip(*found[peer.name], strict=True))] for peer in done]
    headings = [
        "",
        "CPU ms a request, steady",
        "requests/s, server at once",
        f"the same, 200 ms, {args.at_once} at once",
        f"wall s for {args.small} seeds",
        f"requests repeated after SIGKILL at half of {STEPS * args.seeds:,}",
    ]
    left_out = f" Left out: {', '.join(missing)}." if missing else ""
    text = f"Load {load:.1f} at start. {args.seeds:,} seeds, medians of {args.passes} passes in turns.{left_out}"
    publish("peers", f"{text}\n\n" + markdown(headings, rows))


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle = statistics.median(known)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"


if __name__ == "__main__":
    main()
