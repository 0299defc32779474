"""What is found out before a run: size, servers, models, the output."""

from __future__ import annotations

import json
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.errors import ConfigError, OutputError, SeedError
from ray_jobs.jobs.registry import jobs_of
from ray_jobs.jobs.validate import check_all
from ray_jobs.output.plan import PlanWriter
from ray_jobs.runner.servers import check_servers
from ray_jobs.storage.store import open_store
from tests.evolve.engines.loopback import Answer, completion, loopback
from tests.ray_jobs.samples import new_epoch, run_config, write_seeds


def told(folder: Path, **changes: Any) -> list[str]:
    write_seeds(folder / "seeds.jsonl", ["Name a river.", "Name a lake.", "Name a river."])
    return list(check_all(jobs_of(run_config(folder, **changes))[-1]))


def served(url: str | list[str]) -> dict[str, Any]:
    return {"evolvers": {"a": {"engine": {"kind": "openai", "model": "m", "url": url}}}}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def test_seeds_are_read_and_rows_are_counted(tmp_path: Path) -> None:
    lines = told(tmp_path, samples=5)
    assert "seeds: 2 usable of 3 rows read" in lines
    assert any(line.startswith("rows: 20 planned") for line in lines)
    assert any("1 duplicates left out" in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_seeds_none_of_which_is_usable_are_told(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text(json.dumps({"instruction": {"0": "Name a river."}}) + "\n")
    with pytest.raises(SeedError, match="no usable seed"):
        list(check_all(jobs_of(run_config(tmp_path))[-1]))


def test_absurdly_many_rows_are_refused_where_they_are_checked_and_where_they_are_planned(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"limits.planned_rows: expected at most 10,000,000 .* 80,000,000"):
        told(tmp_path, samples=20_000_000)
    job = jobs_of(run_config(tmp_path, samples=20_000_000))[-1]
    with pytest.raises(ConfigError, match=r"limits.planned_rows"):
        job.plan(PlanWriter(new_epoch(open_store(str(tmp_path / "plan")))))
    assert any("80 planned" in line for line in told(tmp_path, samples=20, limits={"planned_rows": 80}))


def test_a_server_is_asked_for_a_token(tmp_path: Path) -> None:
    with loopback(lambda _: completion(content="H")) as server:
        assert "evolvers.a.engine: m: the server answers" in told(tmp_path, **served(server.url))
        assert [body["max_tokens"] for body in server.bodies] == [1]


@pytest.mark.parametrize(("status", "field"), [(401, "api_key_env"), (404, "url")])
def test_a_server_that_takes_no_prompt_is_a_wrong_configuration(tmp_path: Path, status: int, field: str) -> None:
    refusal: Answer = status, {"error": {"message": "no"}}
    with loopback(lambda _: refusal) as server, pytest.raises(ConfigError, match=rf"evolvers.a.engine.{field}: "):
        told(tmp_path, **served(server.url))


def test_no_server_is_asked_offline(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", ["Name a river."])
    job = jobs_of(run_config(tmp_path, **served(f"http://127.0.0.1:{free_port()}/v1")))[-1]
    assert "evolvers.a.engine: m: not checked, --offline asks no server" in list(check_all(job, offline=True))


def test_a_server_that_is_busy_is_not_checked(tmp_path: Path) -> None:
    busy: Answer = 503, {"error": {"message": "loading"}}
    with loopback(lambda _: busy) as server:
        assert any("m: not checked" in line for line in told(tmp_path, **served(server.url)))


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_nobody_there_is_told_before_a_run_starts(tmp_path: Path, host: str) -> None:
    write_seeds(tmp_path / "seeds.jsonl", ["Name a river."])
    job = jobs_of(run_config(tmp_path, **served(f"http://{host}:{free_port()}/v1")))[-1]
    with pytest.raises(ConfigError, match=rf"evolvers.a.engine.url: nobody answers at {host}"):
        check_servers(job.pipeline.stages)


def test_each_of_several_servers_is_asked_and_one_that_is_away_is_told(tmp_path: Path) -> None:
    with loopback(lambda _: completion(content="H")) as server:
        gone = f"http://127.0.0.1:{free_port()}/v1"
        run = served([server.url, gone])
        (line,) = [line for line in told(tmp_path, **run) if line.startswith("evolvers.a.engine")]
        assert "m: the server answers; not checked" in line
        assert gone in line
        check_servers(jobs_of(run_config(tmp_path, **run))[-1].pipeline.stages)


def test_a_refused_key_among_several_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "good")
    monkeypatch.setenv("KEY_B", "bad")
    refusal: Answer = 401, {"error": {"message": "no such key"}}
    with loopback(lambda _: refusal) as bad, loopback(lambda _: completion(content="H")) as good:
        run = served([good.url, bad.url])
        run["evolvers"]["a"]["engine"]["api_key_env"] = ["KEY_A", "KEY_B"]
        with pytest.raises(ConfigError, match=r"evolvers.a.engine.api_key_env: .*no such key, under the key of KEY_B"):
            told(tmp_path, **run)


@pytest.mark.parametrize("bypassed", [True, False])
def test_a_proxy_of_the_environment_hides_only_who_is_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bypassed: bool
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1" if bypassed else "elsewhere.invalid")
    write_seeds(tmp_path / "seeds.jsonl", ["Name a river."])
    job = jobs_of(run_config(tmp_path, **served(f"http://127.0.0.1:{free_port()}/v1")))[-1]
    with pytest.raises(ConfigError, match="nobody answers") if bypassed else nullcontext():
        check_servers(job.pipeline.stages)


def test_an_output_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="expected an empty or a new place"):
        told(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
