"""Runs with a secret in every place where one can stand: nothing that they write, log, print or start shows any.

Every planted secret holds MARK. The parts are real: engines over HTTP, an S3 server, Ray, the command itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.cli.app import main
from ray_jobs.errors import PoolError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.runner.run import run
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import run_config, write_seeds
from tests.ray_jobs.secret_places import Server, as_text, files_that_show, serving, shows, watched_titles

SEEDS = "".join(json.dumps({"instruction": f"Name river {number}."}) + "\n" for number in range(6)).encode()


@dataclass
class Place:
    """A configuration whose every secret is planted, what it talks to, and where Ray puts its files."""

    folder: Path
    ray: Path
    server: Server
    bucket: str
    options: dict[str, Any]

    def config(self, turn: int = 1, **changes: Any) -> Path:
        """The configuration; with another `turn` every secret is another one."""
        storage = self.options | {"key": f"okapi-key-{turn}", "secret": {"from": "STORE_SECRET"}}
        pool = {"batch_rows": 4}
        remote = {"kind": "openai", "model": "m", "retries": 0}
        raw = {
            "output": f"{self.bucket}/run",
            "storage": storage,
            "seeds": {
                "path": self.server.url("/seeds.jsonl", f"me:okapi-seeds-{turn}"),
                "storage": {"client_kwargs": {"headers": {"X-Key": f"okapi-header-{turn}"}}},
            },
            "evolvers": {
                "a": {
                    "engine": remote
                    | {"url": self.server.url(f"/v1?key=okapi-query-{turn}", f"me:okapi-password-{turn}")},
                    "pool": pool,
                }
            },
            "responder": {
                "engine": remote | {"url": self.server.url("/v1"), "api_key_env": "SERVER_KEY"},
                "pool": pool,
            },
            "scorer": {"kind": "scripted", "pool": pool},
            "limits": {"engine_restarts": 1},
            "finish": [{"kind": "select", "by": "ifd", "top": "50%", "target": f"{self.bucket}/best-{turn}"}],
        }
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump(raw | changes))
        return path

    def environment(self, turn: int = 1) -> dict[str, str]:
        """The variables of the command."""
        planted = {"SERVER_KEY": f"okapi-bearer-{turn}", "STORE_SECRET": f"okapi-secret-{turn}"}
        return os.environ | planted | {"RAY_TMPDIR": str(self.ray), "RAY_LOGGING_CONFIG_ENCODING": "JSON"}

    def evolve(self, *arguments: str, turn: int = 1) -> subprocess.CompletedProcess[str]:
        """Run the command in a process of its own; nothing that it prints, starts or leaves in Ray's logs may show."""
        command = [sys.executable, "-m", "ray_jobs.cli", *arguments]
        with watched_titles() as titles:
            done = subprocess.run(
                command, env=self.environment(turn), capture_output=True, text=True, timeout=240, check=False
            )
        assert not shows(done.stdout + done.stderr), done.stdout + done.stderr
        assert titles == set()
        assert files_that_show(self.ray) == []
        return done

    def store(self, name: str) -> Store:
        return open_store(f"{self.bucket}/{name}", self.options)

    def check_store(self) -> None:
        """Nothing in the bucket shows a secret, neither in its name nor in its content."""
        store = open_store(self.bucket, self.options)
        files = ((path, as_text(path, store.read_bytes(path))) for path, _ in store.list())
        assert [path for path, text in files if shows(path + text)] == []


@pytest.fixture
def place(tmp_path: Path, s3_url: str, s3_options: dict[str, Any]) -> Iterator[Place]:
    # short, for the paths of Ray's sockets are limited
    with tempfile.TemporaryDirectory(prefix="rz-", dir="/tmp", ignore_cleanup_errors=True) as ray, serving(SEEDS) as it:
        yield Place(tmp_path, Path(ray), it, s3_url, s3_options)


@pytest.mark.ray
def test_a_run_a_resumed_one_and_all_that_reads_them_show_no_secret(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    done = place.evolve("run", str(place.config()), "--set", "seeds.limit=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 records planned: 3 kept" in done.stdout
    # the real values arrived
    headers = {header.partition(" ")[0] for path, header in place.server.asked if path.startswith("/v1")}
    assert headers == {"Basic", "Bearer"}
    assert ("/v1/chat/completions", "Bearer okapi-bearer-1") in place.server.asked
    assert any(path.endswith("?key=okapi-query-1") for path, _ in place.server.asked)
    place.check_store()

    # as the first versions left it: with the secrets of back then, also among the settings that are compared
    store = place.store("run")
    stored = json.loads(store.read_bytes("run.json"))
    stored["result_settings"]["evolvers.a.engine.arguments.hf_token"] = "okapi-old"
    stored["configuration"]["evolvers"]["a"]["engine"]["url"] = "https://me:okapi-old@host/v1"
    store.write_bytes("run.json", json.dumps(stored).encode())

    again = place.evolve("run", str(place.config(turn=2)), turn=2)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "6 rows, 3 done" in again.stdout
    assert ("/v1/chat/completions", "Bearer okapi-bearer-2") in place.server.asked
    place.check_store()

    changed = place.evolve("run", str(place.config(turn=3, seed=5)), turn=3)
    assert changed.returncode == 2
    assert "seed: 0 before, 5 now" in changed.stderr

    storage = json.dumps(place.options | {"key": "okapi-key", "secret": "okapi-secret"})
    output, used = f"{place.bucket}/run", ("--storage", storage)
    for command in (
        ("status", output, *used),
        ("show", output, *used),
        ("verify", output, *used),
        ("report", output, *used),
        ("select", output, f"{place.bucket}/chosen", "--by", "ifd", "--top", "1", *used),
        ("export", output, f"{place.bucket}/sft", "--format", "alpaca", *used),
    ):
        with pytest.raises(SystemExit) as left:
            main(list(command))
        assert not left.value.code, command
    for wrong in ("{key: okapi", "okapi", "{okapi okapi: 1}"):
        with pytest.raises(SystemExit) as left:
            main(["status", output, "--storage", wrong])
        assert left.value.code == 2
    out, err = capfd.readouterr()
    assert not shows(out + err)
    assert "Traceback" not in err
    place.check_store()


@pytest.mark.ray
@pytest.mark.parametrize("status", [400, 401])
def test_a_server_that_repeats_what_it_was_sent_gives_it_to_nobody(place: Place, status: int) -> None:
    place.server.fails = status
    done = place.evolve("run", str(place.config(finish=[])))
    text = done.stdout + done.stderr
    if status == 400:
        assert done.returncode == 6, text
        assert "6 failed: PromptRefused" in done.stdout
        [rejected] = [path for path, _ in place.store("run").list("rejected")]
        assert "never for" in as_text(rejected, place.store("run").read_bytes(rejected))
    else:
        assert done.returncode == 2, text
        assert "api_key_env" in done.stderr
        assert "never for" in done.stderr
    place.check_store()


@pytest.mark.slow
def test_what_looks_ahead_shows_no_secret(place: Place) -> None:
    config = str(place.config())
    assert place.evolve("validate", config).returncode == 0
    rates = place.folder / "rates.yaml"
    item = {"tokens_per_second": 100, "prompt_tokens": 10, "completion_tokens": 10}
    rates.write_text(
        yaml.safe_dump({"pools": {"evolve_a": item, "respond": item, "score": item}, "bytes_per_row": 100})
    )
    planned = place.evolve("plan", config, "--rates", str(rates), "--json", str(place.folder / "plan.json"))
    assert planned.returncode == 0, planned.stderr
    assert not shows((place.folder / "plan.json").read_bytes())


def test_what_is_wrong_is_told_without_a_secret(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in place.environment().items():
        monkeypatch.setenv(name, value)
    away = {"endpoint_url": "http://me:okapi@127.0.0.1:9", "key": "okapi", "secret": "okapi"}
    gone = place.server.url("/none.jsonl", "me:okapi@x/y").replace(str(place.server.port), "9")
    for code, changes in (
        (4, {"seeds": {"path": gone}}),
        (4, {"output": "s3://no-such-bucket-okapi/x".replace("-okapi", ""), "storage": {"key": "okapi"}}),
        (2, {"seeds": {"path": "x", "storage": {"key": {"from": "NO_SUCH_VARIABLE"}}}}),
        (2, {"storage": {"key: okapi": 3}}),
        (4, {"storage": away | {"config_kwargs": {"retries": {"total_max_attempts": 1}}}}),
    ):
        with pytest.raises(SystemExit) as left:
            main(["validate", str(place.config(**changes))])
        out, err = capfd.readouterr()
        assert (left.value.code, "Traceback" in err) == (code, False), err
        assert err.startswith("error: ")
        assert not shows(out + err)


def test_an_actor_that_lacks_a_variable_tells_before_it_loads_anything(
    tmp_path: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster: the machine that loads the engine has not the variables of the driver's."""
    monkeypatch.setenv("ONLY_HERE", "http://127.0.0.1:9/v1")
    write_seeds(tmp_path / "seeds.jsonl", ["Name a river."])
    engine = {"kind": "openai", "model": "m", "url": {"from": "ONLY_HERE"}}
    config = run_config(tmp_path, evolvers={"a": {"engine": engine}}, limits={"engine_restarts": 1})
    with pytest.raises(PoolError, match=r"pool evolve_a: .* url: there is no variable ONLY_HERE"):
        run(SynthesisJob(config), say=lambda _: None)


@pytest.mark.engine
@pytest.mark.ray
@pytest.mark.parametrize(("length", "code"), [(256, 0), (-5, 6)])
def test_vllm_gets_its_secrets_and_shows_none(place: Place, small_model_dir: Path, length: int, code: int) -> None:
    arguments = {"dtype": "float32", "enforce_eager": True, "max_model_len": length, "hf_token": "okapi-argument"}
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "ODD": "okapi-odd",
        "X": {"from": "SERVER_KEY"},
    }
    engine = {"model": str(small_model_dir), "arguments": arguments, "environment": environment}
    config = place.config(
        evolvers={"a": {"engine": engine}},
        responder={"kind": "evolver", "sampling": {"max_tokens": 8}},
        strategy={"elimination": "none", "sampling": {"max_tokens": 8}},
        limits={"engine_restarts": 0},
        finish=[],
    )
    done = place.evolve("run", str(config), "--set", "seeds.limit=2")
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert "its model cannot be loaded: ValidationError" in done.stderr
    place.check_store()
    stored = json.loads(place.store("run").read_bytes("run.json"))["configuration"]["evolvers"]["a"]["engine"]
    assert stored["arguments"]["hf_token"] == {"from": "HF_TOKEN"}
    assert stored["environment"]["ODD"] == {"from": "ODD"}
