"""What benchmarks/service.py measures: the service by its command, and what stands beside it, each a process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ray_jobs.service.fast import free_ports, make_fast

TOKEN = "benchmark-token-of-this-machine"
TEXT = "word " * 48
READY_SECONDS = 300.0


class ScriptedLLM:
    """An engine of ray.serve.llm that answers at once."""

    def __init__(self, llm_config: Any) -> None:
        self._name = llm_config.model_id

    async def start(self) -> None:
        """Nothing is loaded."""

    async def check_health(self) -> None:
        """It is well."""

    def routing_stats(self) -> dict[str, Any]:
        """It has none."""
        return {}

    async def resolve_lora(self, disk_lora_model: Any) -> None:
        """It has none."""

    async def chat(self, request: Any, raw_request_info: Any = None) -> AsyncGenerator[Any, None]:  # noqa: ARG002
        """One answer, whole."""
        from ray.llm._internal.serve.core.configs.openai_api_models import ChatCompletionResponse

        yield ChatCompletionResponse.model_validate(answer(self._name))


def answer(model: str) -> dict[str, Any]:
    """A chat completion of 240 characters."""
    message = {"role": "assistant", "content": TEXT}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 48, "total_tokens": 58},
    }


def bare(port: int) -> None:
    """FastAPI on uvicorn, with nothing behind."""
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(body: dict[str, Any]) -> dict[str, Any]:
        return answer(body["model"])

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"state": "ready"}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def llm(port: int) -> None:
    """The OpenAI application of ray.serve.llm, one replica and one ingress, under Serve's settings of ours."""
    os.environ["RAYLLM_VLLM_ENGINE_CLS"] = "service_servers.ScriptedLLM"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        make_fast(Path(folder))
        import ray
        from ray import serve
        from ray.serve.llm import LLMConfig, build_openai_app

        ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        config = LLMConfig(
            model_loading_config={"model_id": "small", "model_source": "gpt2"},
            deployment_config={"num_replicas": 1, "ray_actor_options": {"num_cpus": 1}},
            placement_group_config={"bundles": [{"CPU": 1}]},
            experimental_configs={"num_ingress_replicas": 1},
        )
        options = {"num_replicas": 1}
        serve.run(build_openai_app({"llm_configs": [config], "ingress_deployment_config": options}))
        signal.sigwait([signal.SIGTERM])
        serve.shutdown()


@contextmanager
def started(command: list[str], port: int, path: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """A server in a process of its own, once it answers at `path`; its address. If it never does, its log is shown."""
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        try:
            if not asyncio.run(_answers(process, f"{url}{path}")):
                log.seek(0)
                raise SystemExit(f"{url} does not answer:\n{log.read()[-3000:]}")
            yield url
        finally:
            process.terminate()
            process.wait(120)


async def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    import aiohttp

    deadline = time.monotonic() + READY_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                async with session.get(url) as found:
                    if found.status == 200:
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.5)
    return False


@contextmanager
def service(settings: Mapping[str, Any]) -> Iterator[str]:
    """`evolve serve`; its address."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "serve.yaml"
        config.write_text(yaml.safe_dump({"output": f"{folder}/out", **settings, "service": {"port": port}}))
        command = [sys.executable, "-m", "ray_jobs.cli", "serve", str(config)]
        with started(command, port, "/healthz", {"EVOLVE_SERVICE_TOKENS": f"bench={TOKEN}"}) as url:
            yield url


@contextmanager
def beside(name: str) -> Iterator[str]:
    """The server of one of the functions here; its address."""
    (port,) = free_ports(1)
    path = "/healthz" if name == "bare" else "/v1/models"
    with started([sys.executable, __file__, name, str(port)], port, path) as url:
        yield url


if __name__ == "__main__" and len(sys.argv) > 2:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM] if sys.argv[1] == "llm" else [])
    {"bare": bare, "llm": llm}[sys.argv[1]](int(sys.argv[2]))
