"""A webhook is told how it ended, whatever it does to whoever tells it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.cli.app import main
from ray_jobs.config.load import validated
from ray_jobs.config.secrets import Secret
from ray_jobs.errors import PoolError, Stopped
from ray_jobs.jobs.finish_config import FinishingRunConfig
from ray_jobs.jobs.notify import TRIES, notified
from ray_jobs.service.submit import Submission, has_secrets
from tests.http_servers import http_server
from tests.ray_jobs.service.warm import RAW

FIXTURE = Path(__file__).parents[2] / "fixtures" / "outputs" / "evol_instruct" / "out"


class Hook:
    """A webhook: what it has heard, and the status with which it answers."""

    def __init__(self, status: int = 204) -> None:
        self.status, self.heard, self.url = status, list[Any](), ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http_server(Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/very-secret"
        yield found


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(shutil.copytree(FIXTURE, tmp_path / "run"))


def test_it_hears_how_it_ended(hook: Hook, output: str) -> None:
    with notified(Secret(hook.url), output, {}, pytest.fail):
        pass
    with pytest.raises(Stopped), notified(Secret(hook.url), output, {}, pytest.fail):
        raise Stopped("asked to stop")
    with pytest.raises(PoolError), notified(Secret(hook.url), "nowhere", {}, pytest.fail):
        raise PoolError("the engine has died")
    finished, stopped, failed = hook.heard
    assert (finished["state"], finished["exit_code"], finished["message"]) == ("finished", 0, None)
    assert finished["rows"]["done"] == finished["rows"]["planned"] > 0
    assert finished["records"]["kept"] > 0
    assert (stopped["state"], stopped["exit_code"]) == ("stopped", 10)
    assert (failed["state"], failed["exit_code"], failed["message"]) == ("failed", 6, "the engine has died")
    assert "nowhere: failed" in failed["text"]


@pytest.mark.parametrize("status", [302, 404, 500, None])
def test_one_that_does_not_hear_fails_nothing(hook: Hook, output: str, status: int | None) -> None:
    said, pauses = list[str](), list[float]()
    hook.status = status or 0
    url = hook.url if status else "http://127.0.0.1:9/very-secret"
    with notified(Secret(url), output, {}, said.append, pauses.append):
        pass
    assert len(pauses) == TRIES - 1
    assert len(hook.heard) == (TRIES if status else 0)
    [line] = said
    assert "not told" in line
    assert "secret" not in line


def test_a_variable_that_is_missing_fails_nothing(output: str) -> None:
    said = list[str]()
    with notified(Secret(variable="NO_SUCH_VARIABLE"), output, {}, said.append):
        pass
    assert "NO_SUCH_VARIABLE" in said[0]


def test_the_url_is_neither_stored_nor_shown_nor_sent_along() -> None:
    url = "https://hooks.example.com/services/T0/very-secret"
    config = validated(FinishingRunConfig, {**RAW, "notify": url}, "run.yaml")
    assert config.notify is not None
    assert "secret" not in config.model_dump_json() + repr(config)
    assert has_secrets(Submission(Path("run.yaml"), [f"notify={url}"]))


def test_the_command_that_runs_has_it_told(hook: Hook, tmp_path: Path) -> None:
    raw = {**RAW, "output": str(tmp_path / "out"), "notify": hook.url, "finish": [{"kind": "report", "baseline": "me"}]}
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(SystemExit):
        main(["run", str(tmp_path / "run.json")])
    [told] = hook.heard
    assert (told["state"], told["exit_code"]) == ("failed", 2)
    assert "baseline" in told["message"]


def test_who_waits_from_outside_can_have_it_told(
    hook: Hook, output: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(url: str) -> int:
        with pytest.raises(SystemExit) as left:
            main(["wait", output, "--notify", url])
        return int(left.value.code or 0)

    monkeypatch.setenv("HOOK", hook.url)
    assert wait("{from: HOOK}") == wait(hook.url) == 0
    assert [told["state"] for told in hook.heard] == ["finished"] * 2
    assert wait("not-a-url-but-secret") == 2
    told = capsys.readouterr().err
    assert "--notify" in told
    assert "secret" not in told
