"""What the service is configured with: a run's configuration, and a block `service`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Self

from pydantic import Field, model_validator

from ray_jobs.config.base import HARMLESS, Strict
from ray_jobs.config.secrets import Address
from ray_jobs.jobs.finish_config import FinishingRunConfig


def is_loopback(host: str) -> bool:
    """Whether only this machine sees what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServiceLimits(Strict):
    """What clients may ask for. `share` is the most of `requests` that one token may have under way.

    `body_bytes` bounds a request, `pairs` those to be scored in one, `rounds` those of a trial. A stop waits
    `drain_seconds` for requests under way.
    """

    requests: int = Field(512, ge=1)
    share: float = Field(0.5, gt=0, le=1)
    body_bytes: int = Field(8 * 2**20, ge=1024)
    pairs: int = Field(4096, ge=1)
    rounds: int = Field(20, ge=1)
    drain_seconds: float = Field(60, ge=0)


class Allowances(Strict):
    """What configurations that clients send may name beside what the service's own has.

    `paths` are those of the disks of the service and of its cluster; `urls` are read with the keys of both, and from
    where they stand in the network.
    """

    paths: bool = False
    urls: bool = False
    plugins: bool = False
    environment: bool = False
    storage: bool = False


class ServiceConfig(Strict):
    """Where the service listens, and what it allows.

    `hosts` are the names by which clients reach it, port left out; those of this machine's loopback are always known.
    `roots` are the folders or URLs below which runs lie, by default the one above `output`. Requests of batch runs
    leave `free_sequences` of each engine's to people.
    """

    host: str = "127.0.0.1"
    port: int = Field(8400, ge=1, le=65535)
    hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")], ...] = ()
    roots: tuple[Address, ...] = ()
    free_sequences: int = Field(1, ge=0)
    limits: ServiceLimits = ServiceLimits()
    allow: Allowances = Allowances()

    @model_validator(mode="after")
    def _is_reached_by_name(self) -> Self:
        if not is_loopback(self.host) and not self.hosts:
            raise ValueError("hosts: expected the names by which clients reach a service that other machines see")
        return self


class ServedRunConfig(FinishingRunConfig):
    """A run's configuration whose engines are served."""

    service: ServiceConfig = Field(ServiceConfig(), json_schema_extra=HARMLESS)

    def roots(self) -> tuple[str, ...]:
        """The folders or URLs below which runs lie."""
        above = self.output.rstrip("/").rpartition("/")[0]
        nowhere = "/" if self.output.startswith("/") else "."
        return self.service.roots or (above or nowhere,)
