"""The whole job on a local Ray: two evolvers, three rounds, bad seeds, refused prompts; again, and with more seeds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from evolve.strategies.evol_instruct import operator_order
from ray_jobs.cli.show import print_report, print_rows
from ray_jobs.config.run import RunConfig
from ray_jobs.errors import SettingsChanged, Stalled, Stopped
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.epochs import add_part
from ray_jobs.output.part_files import pieces
from ray_jobs.output.parts import write_part
from ray_jobs.output.schema import RECORD_SCHEMA, REJECTED_SCHEMA
from ray_jobs.output.verify import verify
from ray_jobs.runner.run import run
from ray_jobs.seeds.read import seed_id
from ray_jobs.storage.store import open_store
from tests.ray_jobs.samples import FinishedRun, new_epoch, run_config, write_seeds

ROUNDS = 3
TEXTS = [*(f"Count to {number}." for number in range(12)), "Name a forbidden word."]
SEEDS: list[str | dict[str, str]] = [*TEXTS, {"instruction": "Sum.", "input": "1 2"}]
BAD_LINES = ['{"instruction": ', "[1]", '{"instruction": "half \\ud83d"}', '{"instruction": 3}']
ROWS = 2 * len(SEEDS) + len(BAD_LINES)

pytestmark = pytest.mark.usefixtures("local_ray")


class Finished(FinishedRun[RunConfig]):
    """A finished run whose records can be looked at."""

    def records(self) -> list[dict[str, Any]]:
        """All records, kept or not, as plain pyarrow reads them."""
        folders = (ds.dataset(self.output / name).to_table().to_pylist() for name in ("data", "rejected"))
        return [record for records in folders for record in records]


def configured(folder: Path, **changes: Any) -> RunConfig:
    pool = {"size": 1, "batch_rows": 4}
    log = str(folder / "calls")
    faults: dict[str, dict[str, Any]] = {
        "a": {"refuse_text": "forbidden"},
        "b": {"refuse_text": "forbidden", "refuse_share": 0.3},
    }
    engines = {
        name: {"kind": "scripted", "model": f"model-{name}", "call_log": log, **how} for name, how in faults.items()
    }
    answers = {"kind": "scripted", "model": "answers", "refuse_share": 0.2, "call_log": log}
    evolvers = {name: {"engine": engine, "pool": pool} for name, engine in engines.items()}
    return run_config(folder, evolvers=evolvers, responder={"engine": answers, "pool": pool}, **changes)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Finished:
    folder = tmp_path_factory.mktemp("run")
    seeds = folder / "seeds.jsonl"
    write_seeds(seeds, [*SEEDS, *SEEDS[:2]])
    seeds.write_text(seeds.read_text() + "\n".join([*BAD_LINES, BAD_LINES[0]]) + "\n")
    config = configured(folder)
    return Finished(folder, config, run(SynthesisJob(config), say=lambda _: None))


def test_a_cluster_that_lacks_what_a_pool_asks_for_and_has_no_autoscaler_ends_the_run(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", TEXTS[:2])
    evolvers = {"a": {"engine": {"kind": "scripted"}, "pool": {"size": 1, "gpus": 8}}}
    job = SynthesisJob(run_config(tmp_path, evolvers=evolvers, limits={"stall_seconds": 60}))
    with pytest.raises(Stalled, match=r"evolve_a: no node .*8 GPU.* no autoscaler"):
        run(job, say=lambda _: None)


@pytest.fixture
def again(first: Finished, tmp_path: Path) -> Finished:
    """The finished run in a place of its own, with no call counted yet."""
    shutil.copytree(first.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "calls").write_text("")
    return Finished(tmp_path, configured(tmp_path), first.report)


def test_no_statistics_are_gathered_for_others(first: Finished) -> None:
    assert not [thread for thread in threading.enumerate() if "usage" in thread.name]


def test_the_report_adds_up(first: Finished) -> None:
    report, records = first.report, first.records()
    assert report["reconciles"] is True
    assert report["seeds"]["usable"] == len(SEEDS)
    assert report["seeds"]["duplicates"] == 3
    assert sum(report["seeds"]["unreadable"].values()) == len(BAD_LINES)
    assert report["rows"] == {"planned": ROWS, "done": ROWS}
    assert report["records"]["planned"] == len(records) == 2 * len(SEEDS) * ROUNDS + len(BAD_LINES)
    statuses = Counter(record.get("status", "kept") for record in records)
    assert {name: report["records"][name] for name in ("kept", "rejected", "failed")} == {
        "kept": statuses["kept"], "rejected": statuses["rejected"], "failed": statuses["failed"]
    }  # fmt: skip
    reasons = Counter(f"{record['status']}: {record['reason']}" for record in records if "status" in record)
    assert report["reasons"] == reasons
    assert reasons["failed: PromptRefused"] > 2 * ROUNDS


def test_every_row_of_the_plan_has_its_records(first: Finished) -> None:
    seen = Counter((record["plan_row"], record["round"]) for record in first.records())
    assert set(seen.values()) == {1}
    rows = {plan_row for plan_row, _ in seen}
    assert rows == set(range(ROWS))
    by_seed = Counter(record["seed_instruction"] for record in first.records() if record["evolver"])
    texts = [*TEXTS, "Sum."]
    assert by_seed == Counter(dict.fromkeys(texts, 2 * ROUNDS))


def test_operators_take_turns(first: Finished) -> None:
    operators = operator_order(breadth=True, complicate_input=False)
    for record in first.records():
        if record["evolver"]:
            assert record["operator"] == operators[(record["seed_index"] + record["round"] - 1) % len(operators)]


def test_the_parent_is_the_last_evolved_instruction_before(first: Finished) -> None:
    evolved = {
        record["record_id"]: record
        for record in first.records()
        if record["evolver"] and record.get("stage") != "evolve"
    }
    refused = 0
    for record in first.records():
        before = [f"{record['row_id']}-{number}" for number in range(1, record["round"])]
        parents = [item for item in before if item in evolved]
        assert record["parent_id"] == (parents[-1] if parents else record["seed_id"])
        refused += len(parents) < len(before)
    assert refused > 2 * (ROUNDS - 1)


def test_seeds_and_models_stand_in_each_record(first: Finished) -> None:
    for record in first.records():
        if record["evolver"]:
            assert record["seed_id"] == seed_id(record["seed_instruction"], record["input"])
            assert record["evolver_model"] == f"model-{record['evolver']}"
        else:
            assert (record["status"], record["stage"], record["round"]) == ("failed", "read", 0)
            assert str(first.folder / "seeds.jsonl") in record["error"]
    assert {r["input"] for r in first.records() if r["seed_instruction"] == "Sum."} == {"1 2"}


def test_kept_records_are_whole(first: Finished) -> None:
    table = ds.dataset(first.output / "data").to_table()
    assert table.schema.equals(RECORD_SCHEMA)
    assert ds.dataset(first.output / "rejected").to_table().schema.equals(REJECTED_SCHEMA)
    for column in ("instruction", "output", "responder_model", "ifd", "ic_ifd", "mean_top1_prob", "created_at"):
        assert table[column].null_count == 0
    ratio = pc.divide(table["loss_a_given_q"], table["loss_a"])
    assert pc.all(pc.less(pc.abs(pc.subtract(ratio, table["ifd"])), 1e-9)).as_py()
    assert set(table["responder_model"].to_pylist()) == {"answers"}


def test_means_and_pools_are_reported(first: Finished) -> None:
    table = ds.dataset(first.output / "data").to_table()
    groups = {(group["evolver"], group["round"]): group for group in first.report["groups"]}
    assert set(groups) == {("", 0)} | {(name, number) for name in "ab" for number in (1, 2, 3)}
    of_a = table.filter(pc.and_(pc.equal(table["evolver"], "a"), pc.equal(table["round"], 2)))
    assert groups["a", 2]["mean_ic_ifd"] == pytest.approx(pc.mean(of_a["ic_ifd"]).as_py())
    pools = first.report["pools"]
    assert set(pools) == {"evolve_a", "evolve_b", "respond", "score"}
    assert [pools[name]["rows"] for name in pools] == [len(SEEDS), len(SEEDS), 2 * len(SEEDS), 2 * len(SEEDS)]
    assert all(pool["actor_starts"] == 1 for pool in pools.values())


def test_what_lies_in_the_output(first: Finished) -> None:
    assert [len(list((first.output / folder).iterdir())) for folder in ("data", "rejected")] == [1, 1]
    assert not [path for path in (first.output / "staging").rglob("*") if path.is_file()]
    names = {path.name for path in first.output.iterdir()}
    assert names == {
        "data", "entries", "epochs", "plan", "rejected", "sessions", "staging",
        "README.md", "_SUCCESS", "_slm_evolve.json", "report.json", "run.json",
    }  # fmt: skip
    marked = json.loads((first.output / "_SUCCESS").read_text())
    assert marked["epoch"] == 1
    assert all((first.output / path).is_file() for path in marked["files"])
    described = json.loads((first.output / "run.json").read_text())
    assert described["run_id"] == first.report["run_id"] == first.records()[0]["run_id"]
    assert described["configuration"]["strategy"]["rounds"] == ROUNDS
    assert "ray" in described["versions"]
    assert json.loads((first.output / "report.json").read_text()) == first.report
    card = (first.output / "README.md").read_text()
    assert card.startswith("---\n")
    assert f"{first.report['records']['kept']:,} kept records" in card


def test_rows_and_report_can_be_looked_at(first: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(open_store(str(first.output)), 99, None)
    shown = capsys.readouterr().out
    assert shown.count("seed  ") == ROWS
    assert shown.count("(unreadable seed)") == len(BAD_LINES)
    assert "IC-IFD" in shown
    print_report(first.report, "there")
    shown = capsys.readouterr().out
    assert f"{first.report['records']['planned']} records planned: " in shown
    assert shown.endswith("output: there\n")


def test_the_same_command_again_asks_no_engine(again: Finished) -> None:
    before = {path: path.read_bytes() for path in (again.output / "data").iterdir()}
    said = list[str]()
    report = run(SynthesisJob(again.config), say=said.append)
    assert not again.calls
    assert {path: path.read_bytes() for path in (again.output / "data").iterdir()} == before
    assert report["records"] == again.report["records"]
    assert said == [
        f"plan: {len(SEEDS)} seeds, {ROWS} rows, {ROWS} done (0 leftover files removed, 0 parts without files dropped)"
    ]


def test_a_signal_ends_the_joining_of_parts_and_the_same_command_goes_on(again: Finished) -> None:
    store, records = open_store(str(again.output)), sorted(record["record_id"] for record in again.records())
    epoch = new_epoch(store)
    (joined,) = epoch.accepted.parts
    tables = [dict(pieces(store, joined))[folder] for folder in ("data", "rejected")]
    epoch.drop([joined])
    for number, rows in enumerate(np.array_split(joined.rows, 5)):
        kept, others = (table.filter(pc.is_in(table["plan_row"], pa.array(rows))) for table in tables)
        # as another version may have written it, before or after
        kept = kept.append_column("more", pa.nulls(kept.num_rows, pa.int64())) if number % 2 else kept
        add_part(store, epoch.lease, write_part(store, epoch.lease.tag, kept, others, rows))
    with pytest.raises(Stopped, match="stopped by SIGTERM; what was finished is committed"):
        run(SynthesisJob(again.config), say=lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert len(accept.load(store).parts) == 5
    said = list[str]()
    run(SynthesisJob(again.config), say=said.append)
    assert said[1:] == ["5 parts joined into 2"]
    problems = verify(store).problems
    assert problems == []
    # what is left small has nothing to be joined with
    run(SynthesisJob(again.config), say=said.append)
    assert len(said) == 3
    assert sorted(record["record_id"] for record in again.records()) == records
    assert not again.calls


def test_added_seeds_alone_are_run(again: Finished) -> None:
    before = {record["record_id"]: record for record in again.records()}
    seeds = again.folder / "seeds.jsonl"
    seeds.write_text(json.dumps({"instruction": "A new one."}) + "\n" + seeds.read_text())
    report = run(SynthesisJob(again.config), say=lambda _: None)
    assert report["reconciles"] is True
    added = [record for record in again.records() if record["record_id"] not in before]
    assert Counter(record["evolver"] for record in added) == {"a": ROUNDS, "b": ROUNDS}
    assert {(record["seed_instruction"], record["seed_index"]) for record in added} == {("A new one.", len(SEEDS))}
    assert {record["record_id"]: record for record in again.records() if record["record_id"] in before} == before
    # each of two rows evolves in three prompts and is answered in at most three
    assert 2 * ROUNDS <= again.calls.total() <= 4 * ROUNDS
    assert set(again.calls.values()) == {1}
    assert [session["committed_rows"] for session in report["sessions"]] == [ROWS, 2]


def test_settings_that_change_results_are_refused(again: Finished) -> None:
    changed = configured(again.folder, samples=2, keep_rounds="last")
    before = sorted(
        path for path in again.output.rglob("*") if not {"epochs", "staging", "entries", "sessions"} & set(path.parts)
    )
    with pytest.raises(SettingsChanged) as raised:
        run(SynthesisJob(changed))
    assert str(raised.value) == (
        f"{again.output}: this output was begun with other settings; use them, or another output\n"
        '  keep_rounds: "all" before, "last" now\n'
        "  samples: 1 before, 2 now"
    )
    assert raised.value.exit_code == 2
    assert (
        sorted(
            path
            for path in again.output.rglob("*")
            if not {"epochs", "staging", "entries", "sessions"} & set(path.parts)
        )
        == before
    )
