"""Exports as their readers see them: datasets, and LLaMA-Factory's documented rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

from ray_jobs.datasets.export import FileKind, export, on_validation_side
from ray_jobs.datasets.formats import Reasoning
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.errors import ConfigError, OutputError
from ray_jobs.output.ownership import MARK
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import Record, read_records, record, write_output


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def pairs(tmp_path: Path) -> Store:
    """An output whose records have an answer and one or two worse ones, but for three of them that have none worse."""
    store = open_store(str(tmp_path / "pairs"))
    worse = [None if number in (3, 4, 5) else [f"bad {number}"] for number in range(40)]
    worse[6] = ["bad 6", "worse 6"]
    write_output(store, [[record(number, **scored(item)) for number, item in enumerate(worse)]])
    return store


def scored(worse: list[str] | None) -> dict[str, Any]:
    """The columns of a record's pairs: the answer has 1.0, the worse ones 0.5, 0.75."""
    scores = [1 - 0.5**place for place in range(1, len(worse or ()) + 1)]
    return {"rejected_outputs": worse, "rejected_scores": scores or None, "answer_score": 1.0}


def load(folder: Path, name: str) -> list[dict[str, Any]]:
    """What LLaMA-Factory loads as the dataset `name` of `dataset_dir: folder`, by the rules of its data/README.md.

    The entry's file_name is a folder beside dataset_info.json, whose files are all of one type that it knows.
    """
    entry = json.loads((folder / "dataset_info.json").read_text())[name]
    files = sorted((folder / entry["file_name"]).iterdir())
    (kind,) = {{".jsonl": "json", ".parquet": "parquet"}[file.suffix] for file in files}
    rows = datasets.load_dataset(kind, data_files=[str(file) for file in files], split="train")
    assert isinstance(rows, datasets.Dataset)
    return list(rows)


def understood(entry: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as LLaMA-Factory understands it: prompt, and answer or ranked answers, with its documented defaults."""
    columns = {"prompt": "instruction", "query": "input", "messages": "conversations", **entry.get("columns", {})}
    if entry.get("formatting", "alpaca") == "alpaca":
        prompt = "\n".join(text for text in (row[columns["prompt"]], row[columns["query"]]) if text)
        if entry.get("ranking"):
            return {"prompt": prompt, "chosen": row[columns["chosen"]], "rejected": row[columns["rejected"]]}
        return {"prompt": prompt, "answer": row[columns["response"]]}
    tags = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
    tags |= entry.get("tags", {})
    turns = row[columns["messages"]]
    assert [turn[tags["role_tag"]] for turn in turns] == [tags["user_tag"], tags["assistant_tag"]]
    prompt, answer = (turn[tags["content_tag"]] for turn in turns)
    return {"prompt": prompt, "answer": answer}


def expected(item: Record) -> dict[str, Any]:
    """The prompt and answer of a record."""
    prompt = item["instruction"] + (f"\n{item['input']}" if item["input"] else "")
    return {"prompt": prompt, "answer": item["output"]}


@pytest.mark.parametrize("file", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", ["alpaca", "sharegpt", "messages"])
def test_llama_factory_finds_every_record(output: Store, target: Store, name: str, file: FileKind) -> None:
    export(output, target, name, file, Fraction(2, 5), shard_bytes=1)
    folder = Path(target.url)
    entries = json.loads((folder / "dataset_info.json").read_text())
    assert list(entries) == ["evolved_train", "evolved_validation"]
    records = {record["record_id"]: record for record in read_records(output)}
    found = {side: load(folder, f"evolved_{side}") for side in ("train", "validation")}
    rows = [(entries[f"evolved_{side}"], row) for side, some in found.items() for row in some]
    assert {row["record_id"] for _, row in rows} == set(records)
    assert len(rows) == len(records)
    for entry, row in rows:
        assert entry["formatting"] in ("alpaca", "sharegpt")
        assert not entry.get("ranking")
        assert understood(entry, row) == expected(records[row["record_id"]])


def test_no_seed_is_on_both_sides(output: Store, target: Store) -> None:
    export(output, target, "alpaca", "parquet", Fraction(2, 5))
    seeds = {record["record_id"]: record["seed_id"] for record in read_records(output)}
    sides = [{seeds[record["record_id"]] for record in read_records(target, side)} for side in ("train", "validation")]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert sides[1] == {seed for seed in seeds.values() if on_validation_side(seed, Fraction(2, 5))}


def test_the_share_of_seeds_set_aside_is_the_one_asked_for() -> None:
    seeds = [f"{number:032x}" for number in range(20_000)]
    aside = {share: {seed for seed in seeds if on_validation_side(seed, Fraction(share, 100))} for share in (1, 5, 50)}
    for share, some in aside.items():
        # four standard deviations of a binomial
        assert abs(len(some) - 200 * share) < 4 * (200 * share * (1 - share / 100)) ** 0.5
    assert aside[1] < aside[5] < aside[50]
    assert not any(on_validation_side(seed, Fraction(0)) for seed in seeds)


def test_the_split_of_a_selection_is_that_of_its_run(output: Store, target: Store, tmp_path: Path) -> None:
    best, exported = open_store(str(tmp_path / "best")), open_store(str(tmp_path / "exported"))
    select(output, best, Rule("ic_ifd", top=30), say=lambda _: None)
    export(output, target, "messages", "jsonl", Fraction(2, 5))
    export(best, exported, "messages", "jsonl", Fraction(2, 5))
    account = json.loads(exported.read_bytes("export.json"))
    assert account["source"]["kind"] == "selection"
    assert account["counts"]["train"] + account["counts"]["validation"] == 30
    for side in ("train", "validation"):
        whole, part = (set(item.read_bytes(f"{side}/00000.jsonl").splitlines()) for item in (target, exported))
        assert part <= whole


def test_dpo_takes_pairs_and_counts_records_without(pairs: Store, target: Store) -> None:
    exported = export(pairs, target, "dpo", "jsonl")
    assert exported.incomplete == 3
    entry = json.loads(target.read_bytes("dataset_info.json"))["evolved_train"]
    assert entry["ranking"] is True
    rows = load(Path(target.url), "evolved_train")
    assert len(rows) == 38
    for row, number, worse in ((rows[3], 6, "bad 6"), (rows[4], 6, "worse 6"), (rows[5], 7, "bad 7")):
        asked = expected(record(number))
        assert understood(entry, row) == {"prompt": asked["prompt"], "chosen": asked["answer"], "rejected": worse}


def test_reward_models_get_the_margin_of_each_pair(pairs: Store, target: Store) -> None:
    assert export(pairs, target, "reward", "jsonl").incomplete == 3
    rows = load(Path(target.url), "evolved_train")
    assert [(row["rejected"], row["margin"]) for row in rows[3:6]] == [
        ("bad 6", 0.5),
        ("worse 6", 0.25),
        ("bad 7", 0.5),
    ]
    assert json.loads(target.read_bytes("dataset_info.json"))["evolved_train"]["ranking"] is True


def test_kto_has_a_preferred_answer_once(pairs: Store, target: Store) -> None:
    export(pairs, target, "kto", "parquet")
    columns = json.loads(target.read_bytes("dataset_info.json"))["evolved_train"]["columns"]
    rows = load(Path(target.url), "evolved_train")
    answers = [
        (row[columns["response"]], row[columns["kto_tag"]]) for row in rows if row["record_id"] == rows[6]["record_id"]
    ]
    assert answers == [(record(6)["output"], True), ("bad 6", False), ("worse 6", False)]
    assert len(rows) == 37 + 38


def test_dpo_of_single_answers_says_what_is_missing(output: Store, target: Store) -> None:
    with pytest.raises(ConfigError, match=r"no record of .*rejected_outputs\. The format needs pairs of answers"):
        export(output, target, "dpo", "jsonl")
    assert target.list() == []


def test_the_card_names_both_splits(output: Store, target: Store) -> None:
    export(output, target, "alpaca", "parquet", Fraction(2, 5))
    _, header, body = target.read_bytes("README.md").decode().split("---\n", 2)
    assert yaml.safe_load(header)["configs"][0]["data_files"] == [
        {"split": "train", "path": "train/*.parquet"},
        {"split": "validation", "path": "validation/*.parquet"},
    ]
    assert "dataset: evolved_train" in body


def test_exports_have_the_same_bytes_again(output: Store, target: Store, tmp_path: Path) -> None:
    again = open_store(str(tmp_path / "again"))
    for item in (target, again):
        export(output, item, "sharegpt", "parquet", Fraction(2, 5))
    paths = [path for path, _ in target.list() if path != "export.json"]
    assert len(paths) == 5
    assert [target.read_bytes(path) for path in paths] == [again.read_bytes(path) for path in paths]


def test_a_split_with_an_empty_side_is_refused(tmp_path: Path, target: Store) -> None:
    output = open_store(str(tmp_path / "tiny"))
    write_output(output, [[record(0), record(1)]])
    with pytest.raises(ConfigError, match=r"too few seeds for a split at this share, the side (train|validation)"):
        export(output, target, "alpaca", "jsonl", Fraction(1, 2))
    assert target.list() == []


def test_an_export_needs_an_empty_folder(output: Store, target: Store) -> None:
    export(output, target, "alpaca", "jsonl")
    files = ["README.md", MARK, "dataset_info.json", "export.json", "train/00000.jsonl"]
    assert [path for path, _ in target.list()] == files
    with pytest.raises(OutputError, match="expected an empty or a new folder"):
        export(output, target, "alpaca", "jsonl")


def test_exports_work_on_s3(s3_url: str, s3_options: dict[str, Any], output: Store, target: Store) -> None:
    there = open_store(f"{s3_url}/sft", s3_options)
    export(output, there, "alpaca", "parquet", Fraction(2, 5))
    export(output, target, "alpaca", "parquet", Fraction(2, 5))
    for path in ("train/00000.parquet", "validation/00000.parquet", "dataset_info.json"):
        assert there.read_bytes(path) == target.read_bytes(path)


THOUGHT = [record(0, reasoning="Well."), record(1, reasoning=None)]


@pytest.mark.parametrize(
    ("name", "turns", "text"), [("messages", "messages", "content"), ("sharegpt", "conversations", "value")]
)
def test_what_was_thought_is_left_out_or_a_field_or_inline(tmp_path: Path, name: str, turns: str, text: str) -> None:
    store = open_store(str(tmp_path / "run"))
    write_output(store, [THOUGHT])

    def answers(how: Reasoning, file: FileKind) -> list[dict[str, Any]]:
        target = tmp_path / f"{how} {file}"
        export(store, open_store(str(target)), name, file, reasoning=how)
        rows = sorted(load(target, "evolved_train"), key=lambda row: str(row["record_id"]))
        return [row[turns][-1] for row in rows]

    output, other = THOUGHT[0]["output"], THOUGHT[1]["output"]
    assert [answer.keys() & {"reasoning_content"} for answer in answers("omit", "jsonl")] == [set(), set()]
    for file in ("jsonl", "parquet"):
        found = [(answer[text], answer["reasoning_content"]) for answer in answers("field", file)]
        assert found == [(output, "Well."), (other, None)]
    inline = [answer[text] for answer in answers("inline", "jsonl")]
    assert inline == [f"<think>\nWell.\n</think>\n\n{output}", other]


def test_a_format_without_turns_holds_no_reasoning(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    write_output(store, [THOUGHT])
    with pytest.raises(ConfigError, match=r"--reasoning field: only the formats sharegpt and messages.*alpaca"):
        export(store, open_store(str(tmp_path / "to")), "alpaca", "jsonl", reasoning="field")
