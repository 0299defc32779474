"""How large a model is, from real headers, and whether it fits."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.config.engine_kinds import VllmConfig
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import ModelScorerConfig
from ray_jobs.errors import ConfigError
from ray_jobs.forecast.capacity import Group, shortages
from ray_jobs.forecast.checks import cards_of
from ray_jobs.forecast.model_sizes import GB, Weights, demand, problem, weights
from ray_jobs.pipeline.placement import shaped


def model(folder: Path, **tensors: tuple[str, list[int]]) -> str:
    """A model folder whose weights have headers and no content."""
    header = {name: {"dtype": kind, "shape": shape, "data_offsets": [0, 0]} for name, (kind, shape) in tensors.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    return str(folder)


def test_the_demo_model_has_its_parameters(smollm2_dir: Path) -> None:
    found = weights(str(smollm2_dir), "float32")
    assert found is not None
    assert found.bytes == 4 * found.parameters
    assert 130e6 < found.parameters < 165e6  # with or without embeddings that are stored twice
    assert weights(str(smollm2_dir), "auto") == Weights(found.parameters, 2 * found.parameters)


def test_weights_take_what_they_are_loaded_as_and_quantised_ones_what_they_are(tmp_path: Path) -> None:
    name = model(tmp_path, a=("F32", [10, 10]), b=("BF16", [100]), c=("I8", [1000]), d=("I32", [5]))
    assert weights(name, "bfloat16") == Weights(1205, 2 * 200 + 1000 + 4 * 5)
    assert weights(name, "float32") == Weights(1205, 4 * 200 + 1000 + 4 * 5)


def test_a_folder_without_safetensors_has_no_known_size_and_a_damaged_file_is_told(tmp_path: Path) -> None:
    assert weights(str(tmp_path), "auto") is None
    for header in (b"GGUF", *(struct.pack("<Q", len(text)) + text for text in (b"[]", b'{"a": {}}', b'{"a": 1}'))):
        (tmp_path / "model.safetensors").write_bytes(header)
        with pytest.raises(ConfigError, match=r"model.safetensors: expected a safetensors file"):
            weights(str(tmp_path), "auto")


@pytest.mark.slow
def test_a_model_that_is_not_here_is_told_without_a_net() -> None:
    program = "from ray_jobs.forecast.model_sizes import weights\nweights('org/name', 'auto')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert "ConfigError: org/name: is not on this machine" in done.stderr


@pytest.mark.parametrize(("given", "cards"), [("2", 2), (None, 1), ({"from": "CARDS"}, 4), ({"from": "ELSEWHERE"}, 1)])
def test_arguments_are_numbers_whatever_they_stand_as(given: Any, cards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDS", "4")
    assert demand("x", VllmConfig(model="org/name", arguments={"tensor_parallel_size": given})).cards == cards


def test_an_argument_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDS", "hunter2")
    for given, shown in (("two", "'two'"), ({"from": "CARDS"}, "the text of a variable")):
        with pytest.raises(ConfigError, match=f"tensor_parallel_size of org/name: expected a number, got {shown}$"):
            demand("x", VllmConfig(model="org/name", arguments={"tensor_parallel_size": given}))


def test_only_machines_with_room_for_an_actor_tell_its_cards() -> None:
    groups = [
        Group("small", {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1}, 1),
        Group("large", {"CPU": 8, "GPU": 8, "accelerator_type:H100": 1}, 1),
    ]
    pools = {"four": PoolConfig(gpus=4), "one": PoolConfig(gpus=1)}
    assert cards_of(pools, groups) == {"four": 80}


@pytest.mark.slow
def test_a_hub_that_is_away_is_told() -> None:
    program = "from ray_jobs.forecast.model_sizes import weights\nweights('org/name', 'auto')"
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert "ray_jobs.errors.ConfigError: org/name: cannot be looked up on the hub" in done.stderr


SEVENTY = Weights(70 * GB, 140 * GB)


@pytest.mark.parametrize(
    ("arguments", "gpus", "card", "expected"),
    [
        ({"tensor_parallel_size": 4}, 4, 80, None),
        ({"tensor_parallel_size": 4}, 4, None, None),
        ({"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, 4, 80, None),
        ({"tensor_parallel_size": 4}, 4, 24, "take 35.0 GB a card, allowed are 21.6 GB (0.9 of 24 GB)"),
        ({}, 1, 80, "take 140.0 GB a card, allowed are 72.0 GB"),
        ({"tensor_parallel_size": 2, "gpu_memory_utilization": 0.5}, 2, 80, "allowed are 40.0 GB (0.5 of 80 GB)"),
        # replicas have the weights whole, and cards of their own
        ({"tensor_parallel_size": 4, "data_parallel_size": 2}, 8, 24, "take 35.0 GB a card"),
        ({"tensor_parallel_size": 4, "data_parallel_size": 2}, 4, 80, "wants 8 cards, pool.gpus gives an actor 4"),
        ({"tensor_parallel_size": 4}, 2, 80, "wants 4 cards, pool.gpus gives an actor 2"),
        ({}, 0, 24, None),
    ],
)
def test_a_model_must_fit_its_cards(
    arguments: dict[str, float], gpus: float, card: float | None, expected: str | None
) -> None:
    asked = demand("responder.engine", VllmConfig(model="org/large", arguments=arguments))
    found = problem(asked, SEVENTY, PoolConfig(gpus=gpus), card * GB if card else None)
    assert (found is None) if expected is None else (found is not None and expected in found), found


def test_each_kind_of_hardware_must_hold_the_model() -> None:
    pool = PoolConfig.model_validate(
        {
            "variants": [
                {"size": 1, "gpus": 1, "accelerator_type": "H100"},
                {"size": 1, "gpus": 4, "accelerator_type": "L4", "arguments": {"tensor_parallel_size": 4}},
            ]
        }
    )
    model = VllmConfig(model="org/large")
    plain, split = (demand("responder.engine", shaped(model, shape)) for shape in pool.shapes)
    assert (plain.cards, split.cards) == (1, 4)
    assert problem(split, Weights(20 * GB, 40 * GB), pool.shapes[1], 24 * GB) is None
    assert problem(plain, Weights(20 * GB, 40 * GB), pool.shapes[0], 24 * GB) is not None


def test_an_actor_over_machines_is_counted_by_its_parts() -> None:
    pools = {"a": PoolConfig(size=1, gpus=16, cpus=16, nodes=2), "b": PoolConfig(size=1, gpus=8, cpus=8, nodes=8)}
    assert shortages({"a": pools["a"]}, GROUPS) == ([], [])
    assert shortages({"b": pools["b"]}, GROUPS) == ([], [])
    (wrong,), _ = shortages({"a": PoolConfig(size=1, gpus=24, cpus=24, nodes=2)}, GROUPS)
    assert "pool a: the cluster holds 0" in wrong
    assert "24 times 1 CPU, 1 GPU on 2 nodes" in wrong
    (wrong,), _ = shortages(pools, [Group("large", {"CPU": 96, "GPU": 8}, 2)])
    assert "24 GPU" in wrong


def test_a_scorer_takes_one_card() -> None:
    asked = demand("scorer", ModelScorerConfig(model="org/small", dtype="bfloat16"))
    assert problem(asked, Weights(3 * GB, 6 * GB), PoolConfig(gpus=1), 24 * GB) is None
    assert problem(asked, Weights(13 * GB, 26 * GB), PoolConfig(gpus=1), 24 * GB) is not None


GROUPS = [
    Group("head", {"CPU": 0}, 1),
    Group("small", {"CPU": 8, "GPU": 1, "small": 1}, 4),
    Group("large", {"CPU": 96, "GPU": 8, "large": 2}, 2),
]


def test_pools_that_fit_what_the_groups_may_become_are_in_order() -> None:
    pools = {
        "a": PoolConfig(min_size=1, max_size=4, gpus=1, resources={"small": 1}),
        "b": PoolConfig(min_size=1, max_size=4, gpus=4, resources={"large": 1}),
    }
    assert shortages(pools, GROUPS) == ([], [])


def test_what_no_machine_holds_and_what_stays_small_are_told_apart() -> None:
    wrong, less = shortages({"a": PoolConfig(size=1, gpus=4, resources={"small": 1})}, GROUPS)
    assert wrong == ["pool a: the cluster holds 0 actors of it at most (1 CPU, 4 GPU, 1 small), it needs 1"]
    wrong, less = shortages({"a": PoolConfig(min_size=1, max_size=9, gpus=1, resources={"small": 1})}, GROUPS)
    assert wrong == []
    assert less == ["pool a: the cluster holds 4 actors of it at most (1 CPU, 1 GPU, 1 small), max_size is 9"]


def test_pools_that_fit_alone_and_not_together_are_told() -> None:
    pools = {name: PoolConfig(min_size=1, max_size=3, gpus=4, resources={"large": 1}) for name in ("a", "b")}
    wrong, less = shortages(pools, GROUPS)
    assert wrong == []
    assert [line.split(", of which")[0] for line in less] == [
        "all pools at their greatest size ask for 24 GPU, the cluster has 20",
        "all pools at their greatest size ask for 6 large, the cluster has 4",
    ]
    pools = {name: PoolConfig(size=3, gpus=4, resources={"large": 1}) for name in ("a", "b")}
    assert shortages(pools, GROUPS)[0][0] == "all pools at their least size ask for 24 GPU, the cluster has 20"
