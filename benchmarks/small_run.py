"""What a small run costs: 100 rows with scripted engines, beside a floor that only starts Ray, one actor and one block.

Both are commands of their own, in turns: wall seconds from start to end, CPU seconds of all processes, the greatest
memory of all of them at once (proportional set size: what they share is counted once), and how many there were. The
floor is a bare `ray.init`, one actor that does nothing, and one block through `map_batches`, written as Parquet.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from processes import role_of
from tables import markdown, publish

SAMPLE_SECONDS = 0.2
FLOOR = """
import sys, ray, pyarrow as pa
ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
@ray.remote(num_cpus=0)
class Actor:
    def ready(self):
        return True
actor = Actor.remote()
ray.get(actor.ready.remote())
class Same:
    def __call__(self, table):
        return table
rows = ray.data.from_arrow(pa.table({"row": list(range(100))}))
rows.map_batches(Same, batch_format="pyarrow", concurrency=1).write_parquet(sys.argv[1])
"""


@dataclass
class Cost:
    """One command: seconds, CPU seconds, bytes of all processes at the most, and the processes by what they do."""

    seconds: float = 0.0
    cpu: dict[int, float] = field(default_factory=dict)
    memory: int = 0
    roles: dict[int, str] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)

    def look(self, root: psutil.Process) -> None:
        """Add what is there now."""
        memory = 0
        for process in [root, *root.children(recursive=True)]:
            try:
                times, held = process.cpu_times(), process.memory_full_info().pss
                role = _role(process)
            except psutil.Error:
                continue
            self.cpu[process.pid] = times.user + times.system
            # a worker that was idle when first seen has its real name later, and none as it ends
            if role and (role != "idle worker" or process.pid not in self.roles):
                self.roles[process.pid] = role
            self.held[process.pid] = max(held, self.held.get(process.pid, 0))
            memory += held
        self.memory = max(self.memory, memory)


def _role(process: psutil.Process) -> str:
    """As `role_of`; of a plain Python which program it runs."""
    role = role_of(process)
    if not role.startswith("python"):
        return role
    line = process.cmdline()
    after = [line[place + 1] for place, word in enumerate(line[:-1]) if word == "-m"]
    names: list[str] = after or [Path(word).stem for word in line[1:] if word.endswith(".py")] or [role]
    return names[0]


def measured(command: Sequence[str]) -> Cost:
    """Run a command to its end. Raises where it fails."""
    cost, began = Cost(), time.monotonic()
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
        root = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                cost.look(root)
            except psutil.Error:
                break
            time.sleep(SAMPLE_SECONDS)
        cost.seconds = time.monotonic() - began
        if running.wait():
            log.seek(0)
            raise SystemExit(log.read().decode(errors="replace")[-3000:])
    return cost


def here(folder: Path, rows: int) -> list[str]:
    """The command of a run of so many rows, evolver, responder and scorer scripted."""
    with (folder / "seeds.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps({"instruction": f"Explain step {number} of the work."}) + "\n")
    raw = {
        "output": str(folder / "out"),
        "seeds": {"path": str(folder / "seeds.jsonl")},
        "evolvers": {"a": {"engine": {"kind": "scripted"}}},
        "responder": {"engine": {"kind": "scripted"}},
        "scorer": {"kind": "scripted"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(raw))
    return [sys.executable, "-m", "ray_jobs.cli", "run", str(folder / "run.yaml")]


def main() -> None:
    """Measure and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    costs: dict[str, list[Cost]] = {"the run": [], "the floor": []}
    for _ in range(args.passes):
        for name, found in costs.items():
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                floor = [sys.executable, "-c", FLOOR, str(folder / "out")]
                found.append(measured(here(folder, args.rows) if name == "the run" else floor))
    rows = [[name, *_medians(found)] for name, found in costs.items()]
    text = f"Load {load:.1f} at start. {args.rows} rows, medians of {args.passes} passes in turns (least to greatest)."
    whole = markdown(["", "wall s", "CPU s", "GiB of all processes", "processes"], rows)
    processes = markdown(["process", "how many", "CPU s", "MiB each, at the most"], _by_role(costs["the run"][-1]))
    publish("small_run", f"{text}\n\n{whole}\n\nThe last run's processes:\n\n{processes}")


def _medians(costs: Sequence[Cost]) -> list[str]:
    figures = [
        [cost.seconds for cost in costs],
        [sum(cost.cpu.values()) for cost in costs],
        [cost.memory / 2**30 for cost in costs],
    ]
    shown = [f"{statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})" for found in figures]
    return [*shown, f"{statistics.median(len(cost.cpu) for cost in costs):g}"]


def _by_role(cost: Cost) -> list[list[str]]:
    roles = {pid: cost.roles.get(pid, "idle worker") for pid in cost.cpu}
    cpu, held = Counter[str](), Counter[str]()
    for pid, role in roles.items():
        cpu[role] += cost.cpu[pid]  # type: ignore[assignment]
        held[role] = max(held[role], cost.held[pid])
    many = Counter(roles.values())
    return [
        [role, str(many[role]), f"{seconds:.1f}", f"{held[role] / 2**20:.0f}"] for role, seconds in cpu.most_common()
    ]


if __name__ == "__main__":
    main()
