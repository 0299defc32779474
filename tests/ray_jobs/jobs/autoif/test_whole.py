"""AutoIF on an S3 server with a classifier, a scorer and models that fail at first, and its failed rows run again."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs.cli.app import main
from ray_jobs.jobs.autoif.config import AutoIFConfig
from ray_jobs.jobs.registry import jobs_of, run_all
from ray_jobs.jobs.stores import stores_of
from ray_jobs.output.file_names import REPORT
from ray_jobs.output.run_files import read_json
from ray_jobs.output.verify import verify
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import Record, read_records
from tests.ray_jobs.jobs.autoif.samples import ENGINE, autoif_config
from tests.scoring.tiny_models import save_classifier

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.chaos_long]

CONSTRAINTS = "Mention the word slate once or more\nMention the word topaz once or more, in disguise\n"
CONTRADICTED = "Mention the word topaz once or more, in disguise"
"""What the tiny classifier finds contradicted; slate, amber, delta and ebony it finds neutral."""
LABELS = ("entailment", "contradiction", "neutral")


def configured(folder: Path, output: str, storage: dict[str, Any]) -> AutoIFConfig:
    """A run whose larger evolver and whose judge fail for as long as the folder `absent` is missing."""
    (folder / "own.txt").write_text(CONSTRAINTS)
    failing = {**ENGINE, "call_log": str(folder / "absent" / "calls")}
    pool = {"size": 1, "batch_rows": 4, "cpus": 0.5}
    whole = {"engine": {**ENGINE, "model": "small"}, "pool": pool}
    large = {"engine": {**failing, "model": "large", "refuse_text": "word amber"}, "pool": pool}
    return autoif_config(
        folder,
        {"constraints": str(folder / "own.txt"), "augment_calls": 1, "queries": 3, "responses": 2},
        output=output,
        storage=storage,
        evolvers={"small": whole, "large": large},
        judge={"engine": {**failing, "model": "judge"}, "pool": pool},
        nli={"model": str(save_classifier(folder / "nli", LABELS)), "device": "cpu", "pool": pool},
        scorer={"kind": "scripted", "pool": pool},
    )


def records(store: Store) -> list[Record]:
    return [{"status": "kept", **record} for record in read_records(store)] + read_records(store, "rejected")


def test_a_whole_run_on_s3_and_its_failed_rows(s3_url: str, s3_options: dict[str, Any], tmp_path: Path) -> None:
    from scoring.entailment import Entailment

    output = f"{s3_url}/out"
    store = open_store(output, s3_options)
    config = configured(tmp_path, output, s3_options)
    before = run_all(jobs_of(config), say=lambda _: None)
    failed = [record for record in records(store) if record["status"] == "failed"]
    assert {(item["stage"], item["reason"], item["evolver"]) for item in failed} == {
        ("quality", "FileNotFoundError", "small")
    }
    assert Counter(record["evolver"] for record in records(store.below("augment")) if record["status"] == "failed") == {
        "large": 1
    }
    assert before["records"]["failed"] == len(failed) > 0

    (tmp_path / "absent").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["retry-failed", output, "--storage", yaml.safe_dump(s3_options)])
    assert not ended.value.code
    report = read_json(store, REPORT)
    # four instructions of the smaller evolver, and without amber three of the larger, each with three queries
    assert report["records"] | {"kept": 0, "rejected": 0} == {
        "planned": 2 * 3 * 7 + 2, "kept": 0, "rejected": 0, "failed": 0
    }  # fmt: skip
    for name, item in stores_of(store).items():
        verdict = verify(item)
        assert (name, verdict.finished, list(verdict.problems)) == (name, True, [])
    kept = [record for record in records(store) if record["status"] == "kept"]
    assert {item["evolver"] for item in kept} == {"small", "large"}
    assert all(item["ic_ifd"] is not None and item["scorer_model"] == "scripted" for item in kept)

    nli = {step["evolver"]: step for step in report["funnel"] if step["step"] == "nli"}
    assert {name: (item["entered"], item["kept"], item["fallen"]) for name, item in nli.items()} == {
        "small": (5, 4, {"contradiction": 1}),
        "large": (4, 3, {"contradiction": 1}),
    }
    classifier = Entailment(str(tmp_path / "nli"), "cpu")
    for record in records(store.below("instructions")):
        account = json.loads(record["trajectory"] or "{}")
        if "labels" in account:
            pairs = [(record["instruction"], text) for text in account["back_translations"]]
            assert account["labels"] == classifier.label(pairs)
            assert ("contradiction" in account["labels"]) == (record["instruction"] == CONTRADICTED)
