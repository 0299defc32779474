"""The engines that serve a real model: vLLM in a process of its own, and a vLLM server behind its HTTP interface."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evolve.autoif.verification import FORM as VERIFY_FORM
from evolve.engines.openai_engine import OpenAIEngine
from evolve.errors import PromptRefused, SettingsRefused
from evolve.judging.difficulty import LABEL_FORM, LEVELS, SCORE_FORM, SCORES, read_label, read_score
from evolve.records import Completion, Prompt, Sampling

CONTEXT = 256
QUESTION = "What is the capital of France?"
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=5)
WARM = Sampling(temperature=1.0, top_p=0.95, max_tokens=12)
SHORT = Sampling(temperature=0.0, top_p=1.0, max_tokens=12)
TASKS = [
    f"How difficult is this task? {task}" for task in ("Say hello.", "Prove Fermat's last theorem.", "Add 2 and 2.")
]
LONG = "word " * CONTEXT
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
# vLLM leaves its own processes to the end of the one that started it, hence one that ends with the prompts
SCRIPT = """
import asyncio, json, sys
from dataclasses import asdict
from evolve.errors import PromptRefused
from dataclasses import replace
from evolve.records import Form, Prompt, Sampling
from evolve.engines.vllm_engine import VllmEngine

async def answers(model, arguments, prompts):
    engine = VllmEngine(model, arguments)
    async def complete(raw):
        prompt = Prompt.user(raw["text"], Sampling(**raw["sampling"]), raw["seed"], raw["measure_confidence"])
        form = Form(**raw["form"]) if raw["form"] else None
        prompt = replace(prompt, form=form, answers=tuple(raw["answers"]))
        try:
            return asdict(await engine.generate(prompt))
        except PromptRefused as refused:
            return {"refused": str(refused)}
    done = await asyncio.gather(*map(complete, prompts))
    await engine.close()
    await engine.close()
    return done

async def main():
    prompts, arguments = json.load(sys.stdin), json.loads(sys.argv[1])
    print(json.dumps({model: await answers(model, arguments, prompts) for model in sys.argv[2:]}))

if __name__ == "__main__":
    asyncio.run(main())
"""
PROMPTS = {
    "greedy": Prompt.user(QUESTION, GREEDY, 1, measure_confidence=True),
    "greedy again": Prompt.user(QUESTION, GREEDY, 2),
    "warm": Prompt.user("Tell me about your day.", WARM, 3),
    "warm again": Prompt.user("Tell me about your day.", WARM, 3),
    "warm otherwise": Prompt.user("Tell me about your day.", WARM, 4),
    "whole": Prompt.user(QUESTION, Sampling(0.0, 1.0, 200), 1),
    "stopped": Prompt.user(QUESTION, Sampling(0.0, 1.0, 200, stop=("Paris",)), 1),
    "too long": Prompt.user(LONG, GREEDY, 1),
    "empty": Prompt.user("", GREEDY, 1),
    **{
        f"label {n}": replace(Prompt.user(task, SHORT, n), form=LABEL_FORM, answers=tuple(LEVELS))
        for n, task in enumerate(TASKS)
    },
    **{
        f"score {n}": replace(Prompt.user(task, SHORT, n), form=SCORE_FORM, answers=tuple(SCORES))
        for n, task in enumerate(TASKS)
    },
    "verification": replace(
        Prompt.user("Write a function and test cases for it.", Sampling(0.7, 0.95, 180), 1), form=VERIFY_FORM
    ),
    "as the model says": Prompt.user(QUESTION, Sampling(None, None, 5, (), None, None, None, None), 1),
    "extra": Prompt.user(QUESTION, Sampling(0.0, 1.0, 200, extra={"min_tokens": 40}), 1),
}

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def plain_dir(small_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model without a chat template, as base models are."""
    folder = tmp_path_factory.mktemp("plain")
    for file in small_model_dir.iterdir():
        if file.name != "chat_template.jinja":
            (folder / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope="module")
def engines(smollm2_dir: Path, plain_dir: Path) -> dict[Path, dict[str, dict[str, Any]]]:
    """What vLLM's engine makes of each prompt, all of them at once, with either model."""
    raw = [
        {"text": prompt.text, "sampling": {name: getattr(prompt.sampling, name) for name in Sampling.__slots__},
         "seed": prompt.seed, "measure_confidence": prompt.measure_confidence,
         "form": asdict(prompt.form) if prompt.form else None, "answers": prompt.answers}
        for prompt in PROMPTS.values()
    ]  # fmt: skip
    arguments = {"dtype": "float32", "enforce_eager": True, "max_model_len": CONTEXT, "max_num_seqs": 16}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(arguments), str(smollm2_dir), str(plain_dir)],
        input=json.dumps(raw),
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    replies = json.loads(done.stdout.splitlines()[-1])
    return {item: dict(zip(PROMPTS, replies[str(item)], strict=True)) for item in (smollm2_dir, plain_dir)}


@pytest.fixture(scope="module")
def direct(engines: dict[Path, dict[str, dict[str, Any]]], smollm2_dir: Path) -> dict[str, dict[str, Any]]:
    """The replies of the model with a chat template."""
    return engines[smollm2_dir]


@pytest.fixture(scope="module")
def url(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM server of our own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    program = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    model = ["--model", str(smollm2_dir), "--served-model-name", "small", "--dtype", "float32", "--enforce-eager"]
    limits = ["--max-model-len", str(CONTEXT), "--max-num-seqs", "8"]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*program, *model, *limits], stdout=output, stderr=output, env={**os.environ, **ENVIRONMENT}
        )
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(60)


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    raise AssertionError(f"not healthy in time: {log.read_text()[-3000:]}")


def ask(url: str, *prompts: Prompt, model: str = "small") -> list[Completion | BaseException]:
    async def main() -> list[Completion | BaseException]:
        engine = OpenAIEngine(url, model, "NO_SUCH_KEY", timeout=120, retries=0)
        results = await asyncio.gather(*map(engine.generate, prompts), return_exceptions=True)
        await engine.close()
        return results

    return asyncio.run(main())


def test_the_prompt_is_one_user_turn_of_the_models_template(
    direct: dict[str, dict[str, Any]], smollm2_dir: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    turn = [{"role": "user", "content": QUESTION}]
    tokens: Any = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)
    assert direct["greedy"]["prompt_tokens"] == len(tokens["input_ids"])
    assert direct["empty"]["prompt_tokens"] < len(tokens["input_ids"])
    assert direct["empty"]["text"]


def test_a_model_without_a_template_reads_the_text_as_it_is(
    engines: dict[Path, dict[str, dict[str, Any]]], plain_dir: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(plain_dir)
    assert tokenizer.chat_template is None
    assert engines[plain_dir]["greedy"]["prompt_tokens"] == len(tokenizer.encode(QUESTION))
    assert engines[plain_dir]["warm"]["text"]
    assert engines[plain_dir]["empty"] == {"refused": "the prompt has no tokens"}


def test_it_answers(direct: dict[str, dict[str, Any]]) -> None:
    assert "Paris" in direct["whole"]["text"]
    assert direct["whole"]["finish_reason"] == "stop"
    assert 1 < direct["whole"]["completion_tokens"] < 200


def test_greedy_text_is_the_same_whatever_the_seed(direct: dict[str, dict[str, Any]]) -> None:
    assert direct["greedy"]["text"] == direct["greedy again"]["text"]
    assert direct["whole"]["text"].startswith(direct["greedy"]["text"])


def test_a_draw_is_the_same_for_the_same_seed(direct: dict[str, dict[str, Any]]) -> None:
    assert direct["warm"]["text"] == direct["warm again"]["text"]
    assert direct["warm"]["text"] != direct["warm otherwise"]["text"]


def test_confidence_is_a_mean_probability_where_it_was_asked_for(direct: dict[str, dict[str, Any]]) -> None:
    assert 0 < direct["greedy"]["confidence"]["mean"] <= 1
    assert direct["greedy again"]["confidence"] is None


def test_the_token_limit_and_stop_words_end_a_text(direct: dict[str, dict[str, Any]]) -> None:
    assert (direct["greedy"]["finish_reason"], direct["greedy"]["completion_tokens"]) == ("length", 5)
    assert direct["stopped"]["finish_reason"] == "stop"
    assert "Paris" not in direct["stopped"]["text"]


def test_a_prompt_beyond_the_context_is_refused(direct: dict[str, dict[str, Any]]) -> None:
    message = direct["too long"]["refused"]
    assert message.startswith("the prompt has ")
    assert message.endswith(f"tokens, the model's context is {CONTEXT}")


def test_a_form_leaves_nothing_unreadable(direct: dict[str, dict[str, Any]]) -> None:
    for number in range(len(TASKS)):
        assert "difficulty_label" in read_label(direct[f"label {number}"]["text"])
        assert "difficulty_score" in read_score(direct[f"score {number}"]["text"])
    assert direct["verification"]["text"].startswith('{"func": "')


def test_each_answer_of_a_form_has_a_probability(direct: dict[str, dict[str, Any]]) -> None:
    for name, answers in (("label", [*LEVELS]), ("score", [*SCORES])):
        for number in range(len(TASKS)):
            reply = direct[f"{name} {number}"]
            found = dict(zip(answers, reply["probabilities"], strict=True))
            assert sum(found.values()) == pytest.approx(1)
            assert found[reply["text"]] > 1 / len(answers)
    assert direct["greedy"]["probabilities"] is None


def test_a_server_tells_the_same_probabilities_or_none(url: str, direct: dict[str, dict[str, Any]]) -> None:
    names = [f"label {number}" for number in range(len(TASKS))]
    for name, reply in zip(names, ask(url, *(PROMPTS[name] for name in names)), strict=True):
        assert isinstance(reply, Completion)
        assert reply.text == direct[name]["text"]
        assert reply.probabilities in (None, pytest.approx(direct[name]["probabilities"], abs=0.02))


def test_fields_of_sampling_reach_the_engine(direct: dict[str, dict[str, Any]]) -> None:
    assert direct["as the model says"]["text"]
    assert direct["extra"]["completion_tokens"] >= 40 > direct["whole"]["completion_tokens"]


def test_a_server_says_what_the_engine_says(url: str, direct: dict[str, dict[str, Any]]) -> None:
    greedy, whole, warm, again = ask(url, *(PROMPTS[name] for name in ("greedy", "whole", "warm", "warm again")))
    assert isinstance(greedy, Completion)
    expected = direct["greedy"]
    assert (greedy.text, greedy.finish_reason) == (expected["text"], "length")
    assert (greedy.prompt_tokens, greedy.completion_tokens) == (expected["prompt_tokens"], 5)
    assert greedy.mean_top1_prob == pytest.approx(expected["confidence"]["mean"], rel=1e-3)
    assert isinstance(whole, Completion)
    assert (whole.finish_reason, whole.mean_top1_prob) == ("stop", None)
    assert warm == again


def test_a_server_refuses_what_does_not_fit(url: str) -> None:
    refused, fine = ask(url, PROMPTS["too long"], PROMPTS["greedy"])
    assert isinstance(refused, PromptRefused)
    assert str(refused).startswith("the server refuses the prompt: ")
    assert isinstance(fine, Completion)


def test_a_server_without_the_model_is_no_engine(url: str) -> None:
    (died,) = ask(url, PROMPTS["greedy"], model="another")
    assert isinstance(died, SettingsRefused)
    assert str(died).startswith(f"model: the server at {url} refuses: 404: ")
