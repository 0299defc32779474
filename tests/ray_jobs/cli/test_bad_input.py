"""A corpus of bad input, each through the command itself: one clear message and its exit code, or a failed row.

A message names the file, the line or the field, what came and what was expected, and no traceback is shown.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ray_jobs.cli.app import main
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output import accept
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.storage.store import open_store
from tests.ray_jobs.fault_proxy import Fault, fault_proxy
from tests.ray_jobs.samples import new_epoch, plan_numbers, plan_seeds, run_config, write_seeds

GOOD: dict[str, Any] = {
    "evolvers": {"a": {"engine": {"kind": "scripted"}}},
    "responder": {"engine": {"kind": "scripted"}},
    "scorer": {"kind": "scripted"},
}
Prepare = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    code: int
    error: str


def evolve(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run the command in this process."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    error = capsys.readouterr().err
    assert "Traceback" not in error
    code = left.value.code
    return Outcome(code if isinstance(code, int) else 0, " ".join(error.split()))


def config_file(folder: Path, changes: dict[str, Any]) -> Path:
    write_seeds(folder / "seeds.jsonl", ["Name a river.", "Add 2 and 3."])
    path = folder / "run.yaml"
    places = {"output": str(folder / "out"), "seeds": {"path": str(folder / "seeds.jsonl")}}
    path.write_text(yaml.safe_dump({**places, **GOOD, **changes}))
    return path


def seeds(name: str, content: bytes, **fields: Any) -> Prepare:
    """A configuration whose seeds are a file `name` with `content`."""

    def prepare(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(content)
        return {"seeds": {"path": str(folder / name), **fields}}

    return prepare


def template(name: str, text: bytes) -> Prepare:
    """A configuration with one template file of the user's own."""

    def prepare(folder: Path) -> dict[str, Any]:
        file = folder / "templates" / f"{name}.txt"
        file.parent.mkdir(parents=True)
        file.write_bytes(text)
        return {"strategy": {"templates": str(folder / "templates")}}

    return prepare


def parquet(folder: Path, table: pa.Table) -> dict[str, Any]:
    pq.write_table(table, folder / "seeds.parquet")
    return {"seeds": {"path": str(folder / "seeds.parquet")}}


def fields(**changes: Any) -> Prepare:
    return lambda _: changes


def no_seeds(folder: Path) -> dict[str, Any]:
    (folder / "none").mkdir()
    return {"seeds": {"path": str(folder / "none")}}


def no_model(folder: Path) -> dict[str, Any]:
    (folder / "empty").mkdir()
    return {"scorer": {"model": str(folder / "empty")}}


BEFORE_ANYTHING_STARTS: dict[str, tuple[Prepare, int, str]] = {
    # configurations
    "unknown field": (fields(sed=1), 2, "sed: unknown field; did you mean seed?"),
    "unknown nested field": (fields(strategy={"round": 2}), 2, "strategy.round: unknown field; did you mean rounds?"),
    "field of another type": (fields(samples="many"), 2, "samples: .*got 'many'"),
    "value out of range": (fields(strategy={"rounds": 0}), 2, "strategy.rounds: .*greater than or equal to 1, got 0"),
    "missing field": (fields(responder={}), 2, "responder.engine: is missing"),
    "no evolver": (fields(evolvers={}), 2, "evolvers: "),
    "evolver with a path as name": (fields(evolvers={"../x": GOOD["evolvers"]["a"]}), 2, r"evolvers"),
    "unknown engine": (fields(scorer={"kind": "magic"}), 2, "scorer.kind: expected one of 'model', 'scripted'"),
    "unknown preset": (fields(strategy={"elimination": "all"}), 2, "expected one of none, rules, wizardlm"),
    "two ways to size a pool": (
        fields(evolvers={"a": {"engine": {"kind": "scripted"}, "pool": {"size": 1, "max_size": 2}}}),
        2,
        "evolvers.a.pool: give size, or min_size and max_size, not both",
    ),
    "server without a scheme": (
        fields(responder={"engine": {"kind": "openai", "model": "m", "url": "localhost:8000"}}),
        2,
        "responder.engine.url: .*got 'localhost:8000'",
    ),
    # models
    "no such model folder": (fields(scorer={"model": "./no/such"}), 2, "scorer.model: there is no folder ./no/such"),
    "folder without a model": (no_model, 2, "a folder without config.json"),
    "model that is no hub id": (
        fields(evolvers={"a": {"engine": {"model": "llama"}}}),
        2,
        "evolvers.a.engine.model: there is no folder llama; expected a model folder or a hub id",
    ),
    # templates
    "no template folder": (fields(strategy={"templates": "no/such"}), 2, "no/such: expected a folder of templates"),
    "template without its placeholder": (
        template("evol_instruct/deepen", b"Make it harder."),
        2,
        r"deepen.txt: placeholder \{instruction\} is missing",
    ),
    "template with an unknown placeholder": (
        template("evol_instruct/deepen", b"Make {instruction} like {instructions}."),
        2,
        r"unknown placeholder \{instructions\}; did you mean \{instruction\}\?",
    ),
    "template that is not text": (template("evol_instruct/deepen", b"\xff{instruction}"), 2, "expected UTF-8 text"),
    "template of no name": (
        template("evol_instruct/depen", b"{instruction}"),
        2,
        "no template is named evol_instruct/depen; did you mean evol_instruct/deepen.txt",
    ),
    # seed files
    "no seed file": (fields(seeds={"path": "no-such.jsonl"}), 3, "no-such.jsonl"),
    "glob without a match": (fields(seeds={"path": "none/*.jsonl"}), 3, r"none/\*\.jsonl"),
    "empty seed file": (seeds("a.jsonl", b""), 3, "a.jsonl"),
    "format that cannot be told": (seeds("a.data", b"{}"), 3, "a.data"),
    "compressed file that is none": (seeds("a.jsonl.gz", b"plain text"), 3, "a.jsonl.gz"),
    "Parquet file that is none": (seeds("a.parquet", b"plain text"), 3, "a.parquet"),
    "CSV without the column": (
        seeds("a.csv", b"instructions,input\nx,y\n"),
        3,
        "did you mean 'instructions'|instructions",
    ),
    "Parquet without the column": (
        lambda folder: parquet(folder, pa.table({"instructoin": ["x"]})),
        3,
        "instructoin",
    ),
    "Parquet column of numbers": (lambda folder: parquet(folder, pa.table({"instruction": [1]})), 3, "expected text"),
    "mapped column that is not there": (
        seeds("a.jsonl", b'{"question": "x"}\n', columns={"instruction": "questoin"}),
        3,
        "question",
    ),
    "columns for conversations": (
        seeds("a.jsonl", b'{"messages": []}\n', layout="messages", columns={"instruction": "x"}),
        2,
        "seeds.columns: expected none with seeds.layout messages",
    ),
    "folder without a seed file": (no_seeds, 3, "none: no file of seeds there"),
    # stores and credentials
    "output that is a file": (
        lambda folder: {"output": str(folder / "seeds.jsonl")},
        4,
        "seeds.jsonl.*[Nn]ot a directory",
    ),
    "URL of no known kind": (fields(output="s4://bucket/run"), 4, "s4://bucket/run: cannot open"),
    "S3 without a bucket": (fields(output="s3://"), 4, "names no bucket"),
    "store that does not answer": (
        fields(
            output="s3://b/run",
            storage={
                "endpoint_url": "http://127.0.0.1:9",
                "key": "k",
                "secret": "s",
                "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
            },
        ),
        4,
        "s3://b/run.*the store does not answer",
    ),
}


@pytest.mark.parametrize("name", BEFORE_ANYTHING_STARTS)
def test_what_is_told_before_anything_starts(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, code, message = BEFORE_ANYTHING_STARTS[name]
    told = evolve(capsys, "validate", str(config_file(tmp_path, prepare(tmp_path))))
    assert told.code == code, told.error
    assert re.search(message, told.error), told.error


@pytest.mark.parametrize(
    ("storage", "message"),
    [({"key": "nobody"}, "credentials|permission denied|does not exist"), ({"secret": "wrong"}, "")],
)
def test_a_bucket_that_is_not_there(
    storage: dict[str, str],
    message: str,
    s3_options: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = config_file(tmp_path, {"output": "s3://no-such-bucket/run", "storage": {**s3_options, **storage}})
    told = evolve(capsys, "run", str(config))
    assert told.code == 4
    assert "s3://no-such-bucket/run" in told.error
    assert "bucket does not exist" in told.error


REFUSALS = {
    "AccessDenied": "permission denied; these credentials may not do this here",
    "InvalidAccessKeyId": "the credentials are not valid",
    "SignatureDoesNotMatch": "the credentials are not valid",
    "ExpiredToken": "the credentials are not valid",
}


@pytest.mark.parametrize("code", REFUSALS)
def test_credentials_that_a_store_refuses(
    code: str, s3_url: str, s3_options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        proxy.method, proxy.faults = "GET", [Fault(403, code)]
        storage = {**s3_options, "endpoint_url": proxy.url}
        told = evolve(capsys, "run", str(config_file(tmp_path, {"output": f"{s3_url}/run", "storage": storage})))
    assert told.code == 4, told.error
    assert f"{s3_url}/run" in told.error
    assert REFUSALS[code] in told.error, told.error


DAMAGED: dict[str, tuple[str, str, str]] = {
    "seal": ("epochs/000001.seal", "{", "epochs/000001.seal: is not what was written"),
    "entry": ("entries/TAG/part-x.json", "[]", "entries/TAG/part-x.json: is not what was written"),
    "lease": ("epochs/000001.lease", "{}", "epochs/000001.lease: expected a lease, got something else"),
    "settings that are no JSON": ("run.json", "{", "run.json: expected JSON, got something else"),
    "settings of another type": ("run.json", "[]", "run.json: expected a JSON object, got list"),
    "settings without a field": ("run.json", "{}", "run.json: the field configuration is missing"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_of_an_output(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, content, message = DAMAGED[name]
    out = tmp_path / "out"
    epoch = new_epoch(open_store(str(out)))
    plan_numbers(epoch, 2)
    path, message = (item.replace("TAG", str(epoch.lease.tag)) for item in (path, message))
    epoch.store.write_bytes(path, content.encode())
    told = evolve(capsys, "verify" if path == "run.json" else "status", str(out))
    assert told.code == 5, told.error
    assert f"{out}/{message}" in told.error


COMMANDS: dict[str, tuple[list[str], int, str]] = {
    "no configuration file": (["run", "no-such.yaml"], 2, "no-such.yaml: cannot be read"),
    "override without a value": (["validate", "CONFIG", "--set", "rounds"], 2, "expected dotted.path=value"),
    "override into a value": (["validate", "CONFIG", "--set", "output.x=1"], 2, "output is not a group of settings"),
    "override that is no YAML": (["validate", "CONFIG", "--set", "seed=[1"], 2, "the value is not YAML"),
    "storage that is no mapping": (["status", "out", "--storage", "3"], 2, "--storage: expected a mapping"),
    "status of nothing": (["status", "FOLDER/none"], 5, "there is no run here"),
    "verify of nothing": (["verify", "FOLDER/none"], 5, "there is no run here"),
    "show of nothing": (["show", "FOLDER/none"], 5, "no committed row to show"),
    "retry of nothing": (["retry-failed", "FOLDER/none"], 5, "there is no run here"),
    "delete without fresh": (["run", "CONFIG", "--delete"], 2, "--fresh"),
    "fresh on an output that is not empty": (["run", "CONFIG", "--fresh", "--output", "FOLDER"], 5, "empty output"),
    "unknown command": (["evlove"], 2, "No such command"),
    "columns without a name": (
        ["score", "a.jsonl", "FOLDER/o", "--model", "m", "--columns", "output"],
        2,
        "expected FIELD=NAME",
    ),
    "scoring with an unknown setting": (
        ["score", "a.jsonl", "FOLDER/o", "--model", "m", "--set", "scorer.atention=packed"],
        2,
        "scorer.atention: unknown field; did you mean attention?",
    ),
    "scoring without a model": (["score", "a.jsonl", "FOLDER/o", "--model", "./none"], 2, "there is no folder ./none"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_commands_tell(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, code, message = COMMANDS[name]
    places = {"CONFIG": str(config_file(tmp_path, {})), "FOLDER": str(tmp_path)}
    told = evolve(capsys, *(_placed(argument, places) for argument in arguments))
    assert told.code == code, told.error
    assert message in told.error


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "a: 1\na: 2\n"])
def test_files_that_are_no_configuration(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    told = evolve(capsys, "validate", str(path))
    assert told.code == 2
    assert "run.yaml" in told.error


BAD_ROWS: dict[str, tuple[bytes, str]] = {
    "half a line": (b'{"instruction": "x"', "malformed_json"),
    "not an object": (b"[1, 2]", "not_an_object"),
    "no instruction": (b'{"text": "x"}', "missing_field"),
    "instruction that is a number": (b'{"instruction": 3}', "wrong_type"),
    "instruction that is null": (b'{"instruction": null}', "wrong_type"),
    "instruction that is a list": (b'{"instruction": ["x"]}', "wrong_type"),
    "input that is half a pair": (b'{"instruction": "x", "input": "\\ud800"}', "undecodable"),
    "empty instruction": (b'{"instruction": ""}', "empty_instruction"),
    "blank instruction": (b'{"instruction": " \\n "}', "empty_instruction"),
    "half a surrogate pair": (b'{"instruction": "\\ud800"}', "undecodable"),
    "bytes that are no UTF-8": (b'{"instruction": "\xff"}', "undecodable"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_a_planned_failure(name: str, tmp_path: Path) -> None:
    line, reason = BAD_ROWS[name]
    good = [json.dumps({"instruction": f"Name river {number}."}).encode() for number in range(30)]
    (tmp_path / "seeds.jsonl").write_bytes(b"\n".join([*good, line, b""]))
    index = planned(tmp_path)
    assert index.seeds == 30
    assert index.unreadable == {reason: 1}


def test_a_file_that_breaks_off_gives_what_it_holds(tmp_path: Path) -> None:
    text = "\n".join(json.dumps({"instruction": f"Name river {number}."}) for number in range(2000)).encode()
    (tmp_path / "seeds.jsonl.gz").write_bytes(gzip.compress(text)[:-100])
    index = planned(tmp_path, seeds={"path": str(tmp_path / "seeds.jsonl.gz")})
    assert index.seeds > 0
    assert index.unreadable.total() >= 1


def planned(folder: Path, **changes: Any) -> PlanIndex:
    """The plan of the seeds in `folder`, made and read back."""
    config = run_config(folder, **changes)
    job, store = SynthesisJob(config), open_store(config.output)
    plan_seeds(store, job.seed_source(), job.fanout())
    index = accept.load(store).plan
    assert index is not None
    return index


def _placed(argument: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        argument = argument.replace(name, place)
    return argument
