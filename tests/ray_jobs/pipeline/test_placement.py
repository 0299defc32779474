"""On which hardware a pool's next actor goes, and what actors on unlike hardware cost."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import ModelScorerConfig
from ray_jobs.errors import ConfigError
from ray_jobs.pipeline.actors import ScoreActor
from ray_jobs.pipeline.placement import actors_on, next_shape, shaped
from ray_jobs.pipeline.stage import Stage

CARDS = PoolConfig.model_validate(
    {
        "variants": [
            {"min_size": 1, "max_size": 2, "gpus": 1, "resources": {"new": 1}, "price": 4},
            {"min_size": 1, "max_size": 3, "gpus": 2, "resources": {"old": 1}, "price": 1},
            {"min_size": 0, "max_size": 1, "gpus": 8},
        ]
    }
)
NONE = {"CPU": 8.0}


@pytest.mark.parametrize(
    ("living", "free", "expected"),
    [
        ({}, NONE, 0),
        ({0: 1}, NONE, 1),
        # more go where there is room now, the first of these first
        ({0: 1, 1: 1}, {**NONE, "GPU": 4, "new": 1, "old": 1}, 0),
        ({0: 1, 1: 1}, {**NONE, "GPU": 4, "old": 1}, 1),
        ({0: 2, 1: 1}, {**NONE, "GPU": 4, "new": 1, "old": 1}, 1),
        # without any room they wait for the first that may grow
        ({0: 1, 1: 1}, NONE, 0),
        ({0: 2, 1: 1}, NONE, 1),
        ({0: 2, 1: 3}, NONE, 2),
        # one more than all is in place of one that has just died
        ({0: 2, 1: 2, 2: 1}, NONE, 1),
    ],
)
def test_the_next_actor_goes(living: dict[int, int], free: dict[str, float], expected: int) -> None:
    assert next_shape(CARDS.shapes, living, free) == expected


def test_a_pool_of_variants_is_as_large_as_they_are() -> None:
    assert CARDS.bounds == (2, 6)
    assert (CARDS.most_gpus, CARDS.most_price) == (2 + 6 + 8, 8 + 3)


@pytest.mark.parametrize(
    ("pool", "named"),
    [
        ({"size": 2, "variants": [{"size": 1}]}, "size: each of the variants says so"),
        ({"gpus": 1, "variants": [{"size": 1}]}, "gpus"),
        ({"variants": [{"min_size": 0}]}, "min_size or size of 1"),
        ({"variants": [{"size": 1, "arguments": {"dtype": "float16"}}]}, "dtype: expected an argument that changes no"),
        ({"nodes": 2, "gpus": 1}, "one a node or more"),
        ({"nodes": 2, "gpus": 2.5}, "whole number of cards"),
        ({"nodes": 2, "resources": {"disk": 1}}, "resources"),
        ({"min_size": 0}, "min_size"),
    ],
)
def test_hardware_that_cannot_be_is_refused(pool: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        PoolConfig.model_validate(pool)


def test_a_model_is_loaded_as_its_hardware_says() -> None:
    model = VllmConfig(model="org/name", arguments={"max_model_len": 512, "max_num_seqs": 8})
    pool = PoolConfig.model_validate(
        {"variants": [{"size": 1, "arguments": {"max_num_seqs": 64}}, {"size": 1, "gpus": 4, "nodes": 2}]}
    )
    fast, wide = (shaped(model, shape) for shape in pool.shapes)
    assert fast.arguments == {"max_model_len": 512, "max_num_seqs": 64}
    assert wide.arguments == {**model.arguments, "distributed_executor_backend": "ray"}


@pytest.mark.parametrize(
    ("pool", "named"),
    [
        ({"nodes": 2, "gpus": 2}, "pool score: nodes"),
        ({"variants": [{"size": 1, "arguments": {"max_num_seqs": 8}}]}, "pool score: variants"),
    ],
)
def test_a_scorer_cannot_be_spread_nor_told_vllms_arguments(pool: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Stage("score", "scorer", ScoreActor, ModelScorerConfig(model="org/name"), PoolConfig.model_validate(pool))


def test_parts_of_an_actor_may_share_machines() -> None:
    sixteen = PoolConfig(gpus=16, cpus=4, nodes=2).shapes[0]
    eight, four = {"CPU": 32.0, "GPU": 8.0}, {"CPU": 32.0, "GPU": 4.0}
    assert actors_on(sixteen, [eight, eight]) == 1
    assert actors_on(sixteen, [eight, four, four]) == 0
    assert actors_on(sixteen, [eight] * 5) == 2
    assert actors_on(PoolConfig(gpus=4, nodes=2).shapes[0], [eight, four]) == 3
