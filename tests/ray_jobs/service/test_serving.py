"""`evolve serve` on Ray Serve: what its users do with it, and its end."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pyarrow.dataset as ds
import pytest
import requests
from openai.types.chat import ChatCompletionMessageParam

from ray_jobs.errors import Stopped
from tests.ray_jobs.samples import write_seeds
from tests.ray_jobs.service.command import Service, evolve_serve
from tests.ray_jobs.service.warm import TOKEN

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Name three fruits."}]
SEEDS = ["Name three fruits.", "What is 7 times 8?"]


def post(service: Service, path: str, body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return requests.post(f"{service.url}{path}", json=body, headers=headers, timeout=120)


def client(service: Service) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=TOKEN, max_retries=0)


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_from_its_start_to_its_end(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    engine = {"kind": "scripted", "testing": {"decode_rate": 400}}
    settings = {
        "output": str(tmp_path / "out"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "evolvers": {"small": {"engine": engine}},
        "responder": {"engine": {"kind": "scripted", "testing": {"decode_rate": 20}}},
        "scorer": {"kind": "scripted"},
    }
    with evolve_serve(tmp_path, settings) as service:
        assert requests.get(f"{service.url}/healthz", timeout=30).json() == {"state": "ready", "why": None}
        assert requests.get(f"{service.url}/v1/engines", timeout=30).status_code == 401
        _chats(service)
        answer = post(service, "/v1/evolve", {"instruction": SEEDS[0], "rounds": 2, "score": True, "respond": True})
        assert answer.json()["results"][0]["scores"]["ic_ifd"] > 0
        streamed = post(service, "/v1/evolve", {"instruction": SEEDS[0], "rounds": 2, "stream": True})
        kinds = [line.removeprefix("event: ") for line in streamed.text.splitlines() if line.startswith("event")]
        assert kinds == ["round", "round", "result", "done"]
        # what is under way finishes: 40 tokens at 20 a second
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(post, service, "/v1/respond", {"instruction": "Take your time."})
            time.sleep(0.5)
            assert service.stop() == Stopped.exit_code
            assert slow.result().json()["outcome"] == "kept"
    assert not any(TOKEN in line for line in service.lines)


def _chats(service: Service) -> None:
    chats = client(service).chat.completions
    whole = chats.create(model="small", messages=HELLO, seed=3)
    pieces = list(chats.create(model="small", messages=HELLO, seed=3, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert len(pieces) > 5
    with pytest.raises(openai.NotFoundError, match="small"):
        chats.create(model="other", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0).models.list()


@pytest.mark.engine
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_real_models_and_scores_that_are_a_runs(tmp_path: Path, smollm2_dir: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", SEEDS)
    arguments = {"dtype": "float32", "enforce_eager": True, "max_model_len": 512, "max_num_seqs": 8}
    engine = {
        "model": str(smollm2_dir),
        "arguments": arguments,
        "environment": {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
    }
    settings = {
        "output": str(tmp_path / "runs" / "first"),
        "seeds": {"path": str(tmp_path / "seeds.jsonl")},
        "strategy": {"rounds": 1, "sampling": {"max_tokens": 24}, "elimination": "none"},
        "evolvers": {"small": {"engine": engine}},
        "responder": {"kind": "evolver", "sampling": {"max_tokens": 24}},
        "scorer": {"model": str(smollm2_dir)},
    }
    with evolve_serve(tmp_path, settings) as service:
        whole = client(service).chat.completions.create(
            model="small", messages=HELLO, temperature=0, max_completion_tokens=16
        )
        pieces = client(service).chat.completions.create(
            model="small", messages=HELLO, temperature=0, max_completion_tokens=16, stream=True
        )
        text = whole.choices[0].message.content
        assert text
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces).strip() == text.strip()
        trials = [
            post(service, "/v1/evolve", {"instruction": seed, "index": place, "respond": True, "score": True}).json()
            for place, seed in enumerate(SEEDS)
        ]
        started = post(service, "/v1/runs", {"id": "second"})
        assert started.status_code == 201, started.text
        _wait_for_run(service, "second")
        _is_of_the_services_engine(service, tmp_path / "runs" / "second", smollm2_dir)
        records = ds.dataset(tmp_path / "runs" / "second" / "data").to_table().to_pylist()
        assert len(records) == len(SEEDS)
        pairs = [
            {"instruction": item["instruction"], "input": item["input"], "response": item["output"]} for item in records
        ]
        scores = post(service, "/v1/score", {"pairs": pairs}).json()["scores"]
        names = ("loss_q", "loss_a_given_q", "loss_a", "ifd", "ic_ifd", "n_q", "n_a")
        assert [[item[name] for name in names] for item in scores] == [
            [item[name] for name in names] for item in records
        ]
        # the same model asked for the same row; what else was in its batch may change a float's last bits
        tried = {item["results"][0]["rounds"][0]["operator"] for item in trials}
        assert tried == {item["operator"] for item in records}
        assert service.stop() == Stopped.exit_code


def _is_of_the_services_engine(service: Service, output: Path, model: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    usage = requests.get(f"{service.url}/v1/usage", headers=headers, timeout=30).json()
    assert usage["tokens"]["(runs)"]["requests"] == 2 * len(SEEDS)
    run = json.loads((output / "run.json").read_text())
    assert run["configuration"]["evolvers"]["small"]["engine"]["model"] == str(model)
    assert "through" not in run["configuration"]
    table = ds.dataset(output / "data").to_table()
    assert set(table["evolver_model"].to_pylist() + table["responder_model"].to_pylist()) == {str(model)}


def _wait_for_run(service: Service, name: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with requests.get(f"{service.url}/v1/runs/{name}/events", headers=headers, stream=True, timeout=300) as events:
        for line in events.iter_lines(decode_unicode=True):
            if line.startswith("data: ") and (told := json.loads(line.removeprefix("data: "))).get("state"):
                assert told["state"] in ("waiting", "running", "stopped", "finished"), told["why"]
                if told["state"] == "finished":
                    return
    raise AssertionError("the events ended before the run")
