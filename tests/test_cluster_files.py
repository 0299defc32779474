"""The files that describe clusters: valid by Ray's own schema or by KubeRay's field names, and fit for the example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from ray_jobs.config.pool_names import pool_name
from ray_jobs.config.pools import PoolConfig
from ray_jobs.config.run import RunConfig
from ray_jobs.jobs.load import load_config

ROOT = Path(__file__).parents[1]
KUBERAY = ROOT / "docker" / "kuberay"
RUN = load_config(ROOT / "examples" / "cluster.yaml")

# Field names of KubeRay's API v1, as its reference for 1.5 lists them.
CLUSTER_FIELDS = {
    *("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"),
}
GROUP_FIELDS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
AUTOSCALER_FIELDS = {"idleTimeoutSeconds", "upscalingMode", "resources", "image", "env", "version"}
JOB_FIELDS = {
    *("entrypoint", "entrypointNumCpus", "entrypointResources", "runtimeEnvYAML", "backoffLimit"),
    *("shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"),
}
Resources = Mapping[str, float]


def load(path: Path) -> dict[str, Any]:
    read = yaml.safe_load(path.read_text())
    assert isinstance(read, dict)
    return read


def pools(run: RunConfig) -> dict[str, PoolConfig]:
    named = {pool_name(name): evolver.pool for name, evolver in run.evolvers.items()}
    assert run.responder.kind == "pool"
    assert run.scorer
    return named | {"respond": run.responder.pool, "score": run.scorer.pool}


def asked(pool: PoolConfig) -> Resources:
    """What one actor of a pool asks of a machine."""
    kind = {f"accelerator_type:{pool.accelerator_type}": 0.001} if pool.accelerator_type else {}
    return {"CPU": pool.cpus, "GPU": pool.gpus, **pool.resources, **kind}


def fits(asked: Resources, offered: Resources) -> int:
    """How many such actors one machine holds."""
    return min(int(offered.get(name, 0) // amount) for name, amount in asked.items() if amount)


def launcher_groups() -> dict[str, tuple[Resources, int]]:
    """Each group of cluster.yaml: what one machine offers, and how many there may be."""
    types = load(ROOT / "cluster.yaml")["available_node_types"]
    return {name: (item["resources"], item["max_workers"]) for name, item in types.items() if name != "head"}


def kuberay_groups() -> dict[str, tuple[Resources, int]]:
    """The same of the RayCluster."""
    found = {}
    for group in load(KUBERAY / "raycluster.yaml")["spec"]["workerGroupSpecs"]:
        start = group["rayStartParams"]
        offered = {"CPU": int(start["num-cpus"]), "GPU": int(start.get("num-gpus", 0))}
        custom = json.loads(json.loads(start["resources"]))
        found[group["groupName"]] = ({**offered, **custom}, group["maxReplicas"])
    return found


GROUPS = {"launcher": launcher_groups(), "kuberay": kuberay_groups()}


def test_ray_accepts_the_launcher_file() -> None:
    prepared = prepare_config(load(ROOT / "cluster.yaml"))
    validate_config(prepared)
    assert prepared["head_node_type"] == "head"
    assert prepared["setup_commands"] == []


def test_the_schema_would_have_refused_a_misspelt_field() -> None:
    config = load(ROOT / "cluster.yaml")
    config["available_node_types"]["driver"]["min_worker"] = 0
    with pytest.raises(Exception, match="min_worker"):
        validate_config(config)


def test_the_head_runs_no_work_and_groups_start_at_none() -> None:
    types = load(ROOT / "cluster.yaml")["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert {item["min_workers"] for item in types.values()} == {0}
    spec = load(KUBERAY / "raycluster.yaml")["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert {group["minReplicas"] for group in spec["workerGroupSpecs"]} == {0}


def test_machines_have_roles_and_the_files_no_keys() -> None:
    types = load(ROOT / "cluster.yaml")["available_node_types"]
    assert all("IamInstanceProfile" in item["node_config"] for item in types.values())
    texts = [path.read_text() for path in [ROOT / "cluster.yaml", *KUBERAY.glob("*.yaml")]]
    assert not [text for text in texts if "ACCESS_KEY" in text or "SECRET" in text]


def test_drivers_do_not_run_on_spot_machines() -> None:
    types = load(ROOT / "cluster.yaml")["available_node_types"]
    assert "InstanceMarketOptions" not in types["driver"]["node_config"]
    assert "InstanceMarketOptions" in types["evolver_small"]["node_config"]


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("pool", pools(RUN))
def test_each_pool_of_the_example_has_one_group_that_holds_all_its_actors(kind: str, pool: str) -> None:
    wanted = pools(RUN)[pool]
    groups = {name: fits(asked(wanted), offered) * maximum for name, (offered, maximum) in GROUPS[kind].items()}
    [(name, room)] = [(name, room) for name, room in groups.items() if room]
    shared = [other for other, pool in pools(RUN).items() if fits(asked(pool), GROUPS[kind][name][0])]
    assert room >= sum(pools(RUN)[other].bounds[1] for other in shared)


@pytest.mark.parametrize("kind", GROUPS)
def test_a_driver_has_a_group(kind: str) -> None:
    assert [name for name, (offered, _) in GROUPS[kind].items() if fits({"CPU": 1, "driver": 1}, offered)] == ["driver"]


def test_cards_match_what_the_engines_shard_over() -> None:
    for evolver in RUN.evolvers.values():
        assert evolver.engine.kind == "vllm"
        assert evolver.engine.arguments.get("tensor_parallel_size", 1) == evolver.pool.gpus


def test_the_ray_cluster_has_kuberays_shape() -> None:
    read = load(KUBERAY / "raycluster.yaml")
    assert (read["apiVersion"], read["kind"]) == ("ray.io/v1", "RayCluster")
    spec = read["spec"]
    assert set(spec) <= CLUSTER_FIELDS
    assert set(spec["headGroupSpec"]) <= {"rayStartParams", "template", "serviceType"}
    assert all(set(group) <= GROUP_FIELDS for group in spec["workerGroupSpecs"])
    assert set(spec["autoscalerOptions"]) <= AUTOSCALER_FIELDS
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"] is True
    starts = [group["rayStartParams"] for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]]
    assert all(isinstance(value, str) for start in starts for value in start.values())


def test_pods_have_the_service_account_and_no_root() -> None:
    spec = load(KUBERAY / "raycluster.yaml")["spec"]
    account = load(KUBERAY / "serviceaccount.yaml")["metadata"]["name"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        assert pod["serviceAccountName"] == account
        assert pod["securityContext"]["runAsNonRoot"] is True
        [container] = pod["containers"]
        gpus = container["resources"]["limits"].get("nvidia.com/gpu", 0)
        assert gpus == int(group["rayStartParams"].get("num-gpus", 0))
        assert container["image"].endswith(":gpu" if gpus else ":cpu")


def test_the_ray_job_brings_the_same_cluster_and_is_retried() -> None:
    read = load(KUBERAY / "rayjob.yaml")
    assert (read["apiVersion"], read["kind"]) == ("ray.io/v1", "RayJob")
    spec = read["spec"]
    assert set(spec) <= JOB_FIELDS
    assert spec["rayClusterSpec"] == load(KUBERAY / "raycluster.yaml")["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    [driver] = [
        workergroupspec
        for workergroupspec in spec["rayClusterSpec"]["workerGroupSpecs"]
        if workergroupspec["groupName"] == "driver"
    ]
    [mount] = driver["template"]["spec"]["containers"][0]["volumeMounts"]
    assert spec["entrypoint"].split()[:2] == ["evolve", "run"]
    assert spec["entrypoint"].split()[2].startswith(mount["mountPath"] + "/")
    assert json.loads(spec["entrypointResources"]) == {"driver": 1}
