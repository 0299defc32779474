"""What a kill costs: rows that engines work on twice, and the seconds and memory until a resumed run asks an engine.

The run is the `evolve` command in a process of its own, killed with SIGKILL, with a scripted engine that logs every
call; the rows counted are those of the engine's log: in flight are those that it was asked for and no part holds, done
again are those that it is asked for a second time. For the second table the committed part of a large output is
written with the product's own functions, and all but a few rows of the plan are committed. In the end those are
committed too, and the same command has nothing left to do but to join small parts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tables import markdown, publish

from ray_jobs.output import accept
from ray_jobs.output.epochs import add_part
from ray_jobs.output.lease import EPOCHS, Lease, read_holder
from ray_jobs.output.parts import write_part
from ray_jobs.output.schema import CREATED_AT, KEPT, ROUNDS, flatten, split_outcomes
from ray_jobs.storage.store import open_store

ROOT = Path(__file__).parents[1]
PART_ROWS = 128
PENDING = 256
LONGEST = 1800.0
INSTRUCTION, RESPONSE = 300, 1000
"""Characters of the committed records."""
BLOCK_ROWS, BLOCKS = 16, 4
TEXTS = Random(2)
KILL_HEADINGS = (
    "",
    "rows that the engine was asked for",
    "rows committed",
    "in flight at the kill",
    "of these with the evolver or waiting to be answered",
    "with the responder or waiting to be written",
    "done again",
)


@dataclass(frozen=True)
class Session:
    """One command until it was killed: what its evolving engine was asked for, and rows whose answer was begun."""

    asked: list[str]
    answers: int
    committed: int

    def line(self, name: str, again: int) -> list[str]:
        """Its line in the table; `again` of its rows were asked for once more."""
        rows = len(self.asked)
        return [
            name,
            *(f"{count:,}" for count in (rows, self.committed, rows - self.committed)),
            *(f"{count:,}" for count in (rows - self.answers, self.answers - self.committed, again)),
        ]


class Bench:
    """One output in `folder`: `rows` seeds, an evolver and a responder, one round: one call of either a row."""

    def __init__(self, folder: Path, rows: int, decode_rate: float, block_rows: int) -> None:
        folder.mkdir()
        self.folder, self.rows, self.output = folder, rows, folder / "out"
        engine = {
            "kind": "scripted",
            "slots": 64,
            "decode_rate": decode_rate,
            "sigma": 0.5,
            "call_log": str(folder / "calls"),
        }
        answering = {**engine, "call_log": str(folder / "answers")}
        pool = {"size": 1, "batch_rows": block_rows, "batches_in_flight": BLOCKS}
        config = {
            "output": str(self.output),
            "seeds": {"path": str(folder / "seeds.jsonl")},
            "evolvers": {"small": {"engine": engine, "pool": pool}},
            "responder": {"engine": answering, "pool": pool},
        }
        (folder / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        with (folder / "seeds.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(
                json.dumps({"instruction": f"Describe step {number} of a procedure."}) + "\n" for number in range(rows)
            )

    def start(self) -> subprocess.Popen[bytes]:
        """The `evolve run` command."""
        command = [sys.executable, "-m", "ray_jobs.cli", "run", str(self.folder / "run.yaml")]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def calls(self) -> list[str]:
        """The digests of all prompts that the evolving engine was given."""
        return self._digests("calls")

    def answers(self) -> int:
        """How many prompts the responding engine was given."""
        return len(self._digests("answers"))

    def until_called(self, process: subprocess.Popen[bytes]) -> tuple[float, int]:
        """Wait for the next engine call: seconds, and the driver's peak resident memory in bytes until then."""
        started, before, peak = time.monotonic(), self._log_bytes(), 0
        while self._log_bytes() == before:
            if process.poll() is not None or time.monotonic() - started > LONGEST:
                raise SystemExit(f"no engine call: {(self.folder / 'log').read_text()[-2000:]}")
            peak = max(peak, driver_memory(process))
            time.sleep(0.02)
        return time.monotonic() - started, peak

    def until_over(self) -> tuple[float, int]:
        """Run the command to its end, which must be success: seconds, and the driver's peak resident memory."""
        started, peak, process = time.monotonic(), 0, self.start()
        while process.poll() is None:
            peak = max(peak, driver_memory(process))
            time.sleep(0.02)
        if process.returncode:
            raise SystemExit(f"the run failed: {(self.folder / 'log').read_text()[-2000:]}")
        return time.monotonic() - started, peak

    def committed(self) -> int:
        """Rows with an outcome."""
        return sum(len(entry.rows) for entry in accept.load(open_store(str(self.output))).parts)

    def parts(self) -> int:
        """Parts that are committed."""
        return len(accept.load(open_store(str(self.output))).parts)

    def _digests(self, name: str) -> list[str]:
        log = self.folder / name
        return log.read_text().split() if log.exists() else []

    def _log_bytes(self) -> int:
        log = self.folder / "calls"
        return log.stat().st_size if log.exists() else 0


def driver_memory(process: subprocess.Popen[bytes]) -> int:
    """The resident bytes of the driver, which is the one child of the command; 0 where there is none now."""
    with suppress(psutil.Error):
        return sum(child.memory_info().rss for child in psutil.Process(process.pid).children())
    return 0


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the driver; what it started ends by itself, which is waited for."""
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(below, timeout=60)


def kills(folder: Path, rows: int, times: int) -> list[list[str]]:
    """Kill one run several times; a line a kill. Fails where a row is lost in the end."""
    bench, random, sessions = Bench(folder, rows, 100, BLOCK_ROWS), Random(1), list[Session]()

    def note() -> None:
        asked = bench.calls()[sum(len(session.asked) for session in sessions) :]
        answers = bench.answers() - sum(session.answers for session in sessions)
        sessions.append(Session(asked, answers, bench.committed() - sum(session.committed for session in sessions)))

    for _ in range(times):
        process = bench.start()
        bench.until_called(process)
        time.sleep(random.uniform(3, 15))
        kill(process)
        note()
    bench.until_over()
    note()
    assert len(set(bench.calls())) == bench.committed() == rows
    again = done_again(sessions)
    names = [*(f"kill {number}" for number in range(1, times + 1)), "to the end"]
    lines = [
        session.line(name, again[number]) for number, (name, session) in enumerate(zip(names, sessions, strict=True))
    ]
    return [*lines, ["all", f"{len(bench.calls()):,}", f"{rows:,}", "", "", "", f"{again.total():,}"]]


def done_again(sessions: Sequence[Session]) -> Counter[int]:
    """How many rows of each session were asked for again in a later one."""
    found, latest = Counter[int](), dict[str, int]()
    for number, session in enumerate(sessions):
        for digest in session.asked:
            if digest in latest:
                found[latest[digest]] += 1
            latest[digest] = number
    return found


def commit_all_but(bench: Bench, pending: int) -> None:
    """Commit every planned row but the last few, in parts of the size that runs write."""
    store = open_store(str(bench.output))
    found, plan = accept.planned(store)
    number = EPOCHS.latest(store)
    # as the driver that was killed might have done before
    lease = Lease(store, number, read_holder(store, number).token)
    left = plan.rows - pending - bench.committed()
    done = found.manifest.done(plan.rows)
    for file in plan.files:
        table = pq.read_table(bench.output / file.path)
        table = _with_rounds(table.filter(pa.array(~done[file.first : file.first + file.rows])).slice(0, left))
        left -= table.num_rows
        for start in range(0, table.num_rows, PART_ROWS):
            rows = table.slice(start, PART_ROWS).combine_chunks()
            records = flatten(
                rows,
                {"run_id": "benchmark", "strategy": "evol_instruct", "scorer_model": None, "reward_model": None},
                {"small": ""},
            )
            entry = write_part(store, lease.tag, *split_outcomes(records), rows["plan_row"].to_numpy())
            add_part(store, lease, entry)


def _with_rounds(table: pa.Table) -> pa.Table:
    rounds = pa.array([[_round()] for _ in range(table.num_rows)], ROUNDS.type)
    now = pa.array([datetime.now(UTC)] * table.num_rows, CREATED_AT.type)
    return table.append_column(ROUNDS, rounds).append_column(CREATED_AT, now)


def _round() -> dict[str, Any]:
    texts = {"instruction": _text(INSTRUCTION), "output": _text(RESPONSE)}
    return {"round": 1, "parent_round": 0, "status": KEPT, "operator": "deepen", **texts}


def _text(length: int) -> str:
    start = TEXTS.randrange(len(CORPUS) - length)
    return CORPUS[start : start + length]


def _corpus(random: Random) -> str:
    """Seven million characters of made-up words."""
    letters = "etaoinshrdlucmfw"
    words = ["".join(random.choices(letters, k=random.randint(2, 9))) for _ in range(20_000)]
    return " ".join(random.choices(words, k=1_200_000))


CORPUS = _corpus(TEXTS)


def resumes(folder: Path, sizes: Sequence[int]) -> Iterator[list[str]]:
    """For each number of committed rows, how a run resumes on them: seconds, parts and the driver's memory."""
    for rows in sizes:
        bench = Bench(folder / str(rows), rows + PENDING, 1, PART_ROWS)
        process = bench.start()
        first, _ = bench.until_called(process)
        kill(process)
        commit_all_but(bench, PENDING)
        parts = bench.parts()
        process = bench.start()
        seconds, peak = bench.until_called(process)
        kill(process)
        commit_all_but(bench, 0)
        joining, maximum = bench.until_over()
        memory = [f"{item / 2**20:,.0f}" for item in (peak, maximum)]
        line = [f"{rows:,}", f"{first:.1f}", f"{seconds:.1f}", memory[0], f"{parts:,}", f"{joining:.1f}", memory[1]]
        yield [*line, f"{bench.parts():,}"]
        shutil.rmtree(bench.folder)


HEADINGS = (
    "rows committed",
    "s from the first command to its first engine call (plans all rows)",
    "s from the same command to its first new engine call",
    "driver's peak MiB until then",
    "parts",
    "s from the command to its end where only joining parts is left",
    "driver's peak MiB",
    "parts then",
)


def main() -> None:
    """Run the benchmark and publish its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000, help="rows of the run that is killed")
    parser.add_argument("--kills", type=int, default=5, help="0 leaves the first table alone")
    parser.add_argument(
        "--committed", default="0,10000,100000,1000000", help="committed rows, by commas; none leaves the second alone"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if args.kills:
            table = markdown(KILL_HEADINGS, kills(folder / "kills", args.rows, args.kills))
            held = (
                f"A run of {args.rows:,} rows in blocks of {BLOCK_ROWS}; two actors take {BLOCKS} blocks at once each:"
            )
            publish("kill_cost", f"{held}\n\n{table}")
        lines = list[list[str]]()
        for line in resumes(folder, [int(part) for part in args.committed.split(",") if part]):
            lines.append(line)
            # each as soon as it is measured, for the largest take long
            publish("resume_cost", markdown(HEADINGS, lines))


if __name__ == "__main__":
    main()
