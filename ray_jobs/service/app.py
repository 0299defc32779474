"""From a configuration to the application on Ray Serve, and from its start to its end in good order."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray._private.worker import get_dashboard_url
from ray.serve.config import HTTPOptions
from ray.serve.exceptions import RayServeException
from ray.serve.schema import LoggingConfig

from ray_jobs.config.load import overridden, read_raw, validated
from ray_jobs.errors import ClusterError, ConfigError, PoolError
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.pipeline.pools import logical_cpus
from ray_jobs.runner.address import check_address, starts_here
from ray_jobs.runner.cluster import cluster
from ray_jobs.runner.ray_log import kept_apart, with_log_folder
from ray_jobs.runner.signals import StopRequest
from ray_jobs.service.config import ServedRunConfig, ServiceConfig, is_loopback
from ray_jobs.service.deployments import APP, GATEWAY, Setup, conditions, gateway
from ray_jobs.service.engines import roster
from ray_jobs.service.tokens import TokenFile, digest, from_environment, new_token, token_file

POLL_SECONDS = 0.5
GATEWAY_CPUS = 1
MARGIN_SECONDS = 5.0
Say = Callable[[str], None]


def prepare(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), output: str | None = None) -> Setup:
    """Check a configuration, from a file or as settings, and what it names. Nothing is started. Raises ConfigError."""
    if isinstance(source, Mapping):
        raw, name = overridden(dict(source), overrides), "the settings"
    else:
        raw, name = read_raw(Path(source), overrides, output), str(source)
    config = validated(ServedRunConfig, raw, name)
    settings = {key: value for key, value in raw.items() if key != "service"}
    kept = token_file()
    TokenFile(kept).digests()
    return Setup(config, settings, roster(config), from_environment(), kept, Path.cwd())


def application(arguments: dict[str, Any]) -> serve.Application:
    """The application for `serve deploy`: its arguments are `config`, a file or settings, and perhaps `dashboard`.

    Tokens are those of the environment and of the token file, on the gateway's node. Raises ConfigError without any.
    """
    if "config" not in arguments:
        raise ConfigError("the application's arguments: expected config, a file or settings, got none")
    setup = prepare(arguments["config"])
    if not _has_tokens(setup):
        raise ConfigError("EVOLVE_SERVICE_TOKENS: expected NAME=TOKEN in the environment of the cluster's nodes")
    return gateway(replace(setup, dashboard=arguments.get("dashboard")))


def serve_until_stopped(setup: Setup, say: Say, verbose: bool = False) -> None:
    """Deploy the application on Ray and say where it is, until a signal asks for its end, which requests finish before.

    Raises ConfigError where the port is taken, PoolError where an engine cannot be loaded, and Stopped in the end.
    """
    config, service = setup.config, setup.config.service
    check_address(config.ray)
    alone = starts_here(config.ray.address) and not ray.is_initialized()
    if alone:
        _check_port(service)
    setup, made = _with_token(setup)
    pools = SynthesisJob(config).pipeline.pools().values()
    # the engines, the gateway, and as much again for the pools of a run
    cpus = 2 * logical_cpus(pools) + GATEWAY_CPUS
    with (
        StopRequest().listening() as request,
        kept_apart(verbose),
        cluster(config.ray, cpus, verbose, dashboard=True),
    ):
        logging.getLogger("ray.serve").setLevel(logging.INFO if verbose else logging.ERROR)
        say(f"loading {', '.join(item.name for item in setup.roster.loaded)}")
        try:
            dashboard = f"http://{get_dashboard_url()}"  # type: ignore[no-untyped-call]
            where = {"dashboard": dashboard, "cluster": ray.get_runtime_context().gcs_address, "url": _url(service)}
            _deploy(replace(setup, **where, alone=alone))
            if _until_ready(setup, request):
                say(f"ready: {_url(service)}/")
                if made:
                    say(f"token, shown this once: {made}")
            while not request.why:
                time.sleep(POLL_SECONDS)
        finally:
            _end(service, alone)


def _url(service: ServiceConfig) -> str:
    """Where clients find the service."""
    host = service.host if is_loopback(service.host) else service.hosts[0]
    return f"http://{f'[{host}]' if ':' in host else host}:{service.port}"


def _deploy(setup: Setup) -> None:
    """Start Serve and the application, which loads its engines from then on. Raises ClusterError."""
    service = setup.config.service
    log = LoggingConfig(enable_access_log=False)
    target = serve.RunTarget(gateway(setup), name=APP, route_prefix="/", logging_config=log)
    try:
        serve.start(proxy_location="HeadOnly", http_options=HTTPOptions(host=service.host, port=service.port))
        serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    except (ray.exceptions.RayError, RayServeException, TimeoutError) as error:
        told = " ".join(str(error).split())
        raise ClusterError(f"Ray Serve cannot be started: {type(error).__name__}: {told[:300]}") from error


def _until_ready(setup: Setup, request: StopRequest) -> bool:
    """Wait until everything is loaded; False where a stop was asked for before. Raises PoolError."""
    names = [GATEWAY, *(item.name for item in setup.roster.loaded)]
    while not request.why:
        found = conditions(names)
        for name, item in found.items():
            if item.state == "failed":
                raise PoolError(with_log_folder(f"{name} cannot be loaded: {item.why}"))
        if all(item.state == "ready" for item in found.values()):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _end(service: ServiceConfig, alone: bool) -> None:
    """Take no more requests, wait for those under way, and take the application away."""
    asyncio.run(_ended(service.limits.drain_seconds, alone))
    if not alone:
        # others may have applications there
        serve.delete(APP)


async def _ended(seconds: float, alone: bool) -> None:
    # a handle stays with the loop in which it was first used, where Serve's routers have none of their own
    with suppress(RayServeException, ray.exceptions.RayError, TimeoutError):
        asked: Any = serve.get_app_handle(APP).drain.remote(seconds)
        await asyncio.wait_for(asked, seconds + MARGIN_SECONDS)
    if alone:
        await serve.shutdown_async()  # type: ignore[no-untyped-call]


def _with_token(setup: Setup) -> tuple[Setup, str | None]:
    """The setup with a token, and that token where there was none."""
    if _has_tokens(setup):
        return setup, None
    token = new_token()
    return replace(setup, digests={"first": digest(token)}), token


def _has_tokens(setup: Setup) -> bool:
    return bool(setup.digests or TokenFile(setup.token_file).digests())


def _check_port(service: ServiceConfig) -> None:
    try:
        with socket.create_server((service.host, service.port), reuse_port=False):
            pass
    except OSError as error:
        raise ConfigError(
            f"service.port: expected a free port of {service.host}, {service.port} cannot be had: {error.strerror}"
        ) from None
