"""The block `service` of a configuration."""

from __future__ import annotations

from typing import Any

import pytest

from ray_jobs.config.load import validated
from ray_jobs.errors import ConfigError
from ray_jobs.service.config import ServedRunConfig
from ray_jobs.service.engines import roster

RUN: dict[str, Any] = {
    "output": "out/first",
    "seeds": {"path": "seeds.jsonl"},
    "evolvers": {"small": {"engine": {"kind": "scripted"}}},
    "responder": {"kind": "evolver"},
}


def served(**service: Any) -> ServedRunConfig:
    return validated(ServedRunConfig, {**RUN, "service": service}, "serve.yaml")


def test_it_listens_to_this_machine_alone_and_looks_beside_the_output() -> None:
    config = served()
    assert (config.service.host, config.roots()) == ("127.0.0.1", ("out",))
    assert validated(ServedRunConfig, {**RUN, "output": "s3://bucket/a/b"}, "x").roots() == ("s3://bucket/a",)
    assert validated(ServedRunConfig, {**RUN, "output": "first"}, "x").roots() == (".",)
    assert validated(ServedRunConfig, {**RUN, "output": "/first"}, "x").roots() == ("/",)
    assert served(roots=["s3://bucket/runs"]).roots() == ("s3://bucket/runs",)


@pytest.mark.parametrize(
    ("service", "word"),
    [
        ({"host": "0.0.0.0"}, "hosts"),
        ({"hosts": ["a.b:80"]}, "service.hosts"),
        ({"port": 0}, "service.port"),
        ({"limits": {"share": 2}}, "service.limits.share"),
        ({"alow": {}}, "did you mean allow"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(service: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        served(**service)
    assert served(host="0.0.0.0", hosts=["evolve.example.org"]).service.hosts == ("evolve.example.org",)


@pytest.mark.parametrize("with_reasoning", [True, False])
def test_the_scorer_reads_what_a_runs_does(with_reasoning: bool) -> None:
    scorer = {"kind": "scripted", "with_reasoning": with_reasoning}
    found = roster(validated(ServedRunConfig, {**RUN, "scorer": scorer}, "serve.yaml")).loaded
    assert {item.name: item.with_reasoning for item in found}["score"] is with_reasoning
    assert not any(item.with_reasoning for item in found if item.name != "score")


def test_replicas_are_on_the_first_kind_of_hardware_and_on_one_machine() -> None:
    def with_pool(pool: dict[str, Any]) -> ServedRunConfig:
        evolver = {"engine": {"kind": "scripted"}, "pool": pool}
        return validated(ServedRunConfig, {**RUN, "evolvers": {"small": evolver}}, "serve.yaml")

    (loaded,) = roster(with_pool({"variants": [{"size": 2, "gpus": 1}, {"size": 1, "gpus": 4}]})).loaded
    assert (loaded.shape.gpus, loaded.shape.own_bounds) == (1, (2, 2))
    with pytest.raises(ConfigError, match="several machines"):
        roster(with_pool({"nodes": 2, "gpus": 2}))
