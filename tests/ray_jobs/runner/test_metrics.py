"""The metrics as Prometheus would scrape them from a real Ray head, and the dashboard that reads them."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from ray.util import metrics

from ray_jobs.output.counts import OutcomeCounts
from ray_jobs.pipeline.monitor import PoolState, Snapshot, WorkerStats
from ray_jobs.runner.metrics import METRICS, readings
from tests.ray_jobs.ray_head import RayHead

DASHBOARD = Path(__file__).parents[3] / "docker" / "grafana" / "dashboard.json"
ALERTS = DASHBOARD.with_name("alerts.yaml")
DRIVER = """
import pickle, sys, time
import ray
from ray_jobs.runner.metrics import RunMetrics
ray.init(address=sys.argv[1], log_to_driver=False)
metrics = RunMetrics("run-7", planned=100, already=10, shares=lambda _: {"money": 0.5})
for snapshot in pickle.loads(bytes.fromhex(sys.argv[2])):
    metrics.observe(snapshot)
print("shown", flush=True)
time.sleep(60)
"""


def snapshot(rows: int, starts: int = 1, in_flight: int = 3) -> Snapshot:
    stats = WorkerStats(began=rows + in_flight, done=rows, prompt_tokens=10 * rows, completion_tokens=5 * rows)
    committed = OutcomeCounts(rows=rows)
    committed.outcomes[("small", 1, "kept", "")] = rows
    committed.outcomes[("small", 2, "kept", "")] = rows - 1
    committed.outcomes[("small", 2, "rejected", "refusal")] = 1
    pool = PoolState(stats, starts=starts, loading=1, ready=2, in_flight=in_flight, retried=2 * (starts - 1))
    return Snapshot({"evolve_small": pool}, committed, parts=rows // 2)


def scraped(url: str) -> dict[tuple[str, str], float]:
    """The samples of the run by name and the labels that are ours; other tests' counters outlive their drivers."""
    ours = {"run", "pool", "kind", "state", "evolver", "status", "reason"}
    found = {}
    for family in text_string_to_metric_families(requests.get(url, timeout=10).text):
        for sample in family.samples:
            if sample.name.startswith("ray_evolve_") and sample.labels["run"] == "run-7":
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()) if key in ours)
                found[sample.name, labels] = sample.value
    return found


def test_what_a_driver_shows_is_what_prometheus_reads(head: RayHead) -> None:
    # the monitor begins again at 0 after the second snapshot, as it does when its process is lost
    shown = [snapshot(4), snapshot(10, starts=2), snapshot(4, starts=3, in_flight=1)]
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, head.gcs_address, pickle.dumps(shown).hex()],
        env=head.environment(),
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "shown\n"
        found = wait_for(head, "ray_evolve_rows_done")
    finally:
        driver.kill()
        driver.wait()
    run = "run=run-7"
    pool = f"pool=evolve_small,{run}"
    assert found == {
        ("ray_evolve_rows_planned", run): 100,
        ("ray_evolve_rows_done", run): 14,
        ("ray_evolve_parts_total", run): 7,
        ("ray_evolve_budget_share", f"kind=money,{run}"): 0.5,
        ("ray_evolve_records_total", f"evolver=small,reason=,{run},status=kept"): 26,
        ("ray_evolve_records_total", f"evolver=small,reason=refusal,{run},status=rejected"): 1,
        ("ray_evolve_pool_rows_total", pool): 14,
        ("ray_evolve_pool_tokens_total", f"kind=prompt,{pool}"): 140,
        ("ray_evolve_pool_tokens_total", f"kind=completion,{pool}"): 70,
        ("ray_evolve_pool_rows_in_flight", pool): 1,
        ("ray_evolve_pool_rows_retried", pool): 4,
        ("ray_evolve_pool_actors", f"{pool},state=loading"): 1,
        ("ray_evolve_pool_actors", f"{pool},state=ready"): 2,
        ("ray_evolve_pool_actor_starts_total", pool): 3,
    }


def wait_for(head: RayHead, name: str) -> dict[tuple[str, str], float]:
    """The samples once `name` is among them: processes send theirs every few seconds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = scraped(head.metrics_url)
        if any(key[0] == name for key in found):
            return found
        time.sleep(1)
    raise AssertionError(f"{name} was not exported")


def test_every_metric_has_a_reading() -> None:
    assert {name for name, _, _ in readings(snapshot(2), 1, 0, {"money": 0.5})} == set(METRICS)


def exported_names() -> set[str]:
    return {f"ray_{name}{'_total' if metric.kind is metrics.Counter else ''}" for name, metric in METRICS.items()}


def test_the_dashboard_asks_for_every_metric_and_for_no_other() -> None:
    text = DASHBOARD.read_text()
    assert set(re.findall(r"ray_evolve_\w+", text)) == exported_names()


def test_the_dashboard_groups_by_labels_that_the_metrics_have() -> None:
    labels = {"run", *(label for metric in METRICS.values() for label in metric.labels)}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    groups = [group for query in queries for group in re.findall(r"by \(([^)]*)\)", query)]
    grouped = {label.strip() for group in groups for label in group.split(",")}
    assert grouped
    assert grouped <= labels
    assert Counter(panel["id"] for panel in panels).most_common(1)[0][1] == 1


def test_the_alerts_are_rules_of_prometheus_on_metrics_and_labels_that_there_are() -> None:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    labels = {"run", *(label for metric in METRICS.values() for label in metric.labels)}
    assert group.keys() == {"name", "rules"}
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) == 4
    for rule in group["rules"]:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+m", rule["for"])
        assert {"summary", "description"} == rule["annotations"].keys()
        asked, expression = set(re.findall(r"ray_evolve_\w+", rule["expr"])), rule["expr"]
        assert asked
        assert asked <= exported_names()
        assert expression.count("(") == expression.count(")")
        grouped = [
            name.strip() for names in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for name in names.split(",")
        ]
        assert set(grouped) <= labels
        # what a text says of the alert, its expression keeps
        told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert "run" in told <= set(grouped)
