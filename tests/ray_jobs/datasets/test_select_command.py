"""What a selection writes, refuses and reproduces, on local disk and S3."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ray_jobs.datasets.rule import Rule, make_rule
from ray_jobs.datasets.select import select
from ray_jobs.errors import ConfigError, DamagedOutput, LeaseHeld, OutputError
from ray_jobs.output.column import word_counts
from ray_jobs.output.schema import RECORD_SCHEMA
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import RUN_ID, ids, read_records, record, write_output

QUARTER = Rule("ic_ifd", top=Fraction(1, 4))


def quiet(_: str) -> None:
    """Say nothing."""


def files(store: Store) -> dict[str, bytes]:
    """All files, selection.json without its time."""
    found = {path: store.read_bytes(path) for path, _ in store.list()}
    account = json.loads(found["selection.json"])
    del account["written_at"]
    return {**found, "selection.json": json.dumps(account).encode()}


def write_analysis(store: Store, name: str, columns: dict[str, Sequence[Any]]) -> None:
    """An analysis table beside the data."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    store.write_bytes(f"analyses/{name}.parquet", sink.getvalue().to_pybytes())


def test_a_selection_is_a_dataset_with_card_and_account(output: Store, target: Store) -> None:
    selection = select(output, target, Rule("ic_ifd", top=Fraction(1, 4), per=("evolver", "round")), say=quiet)
    account = json.loads(target.read_bytes("selection.json"))
    assert account["rule"] == {
        "by": "ic_ifd",
        "order": "highest",
        "top": "25%",
        "range": None,
        "per": ["evolver", "round"],
        "drop_ifd_above": None,
        "near_duplicates": None,
        "ngram": None,
    }
    assert account["counts"] == {"read": 60, "kept": 18, "below_cut": 42}
    assert account["source"]["run_id"] == RUN_ID
    assert account["source"]["finished"]
    assert [(group["evolver"], group["round"], group["counts"]["kept"]) for group in account["groups"]] == [
        (evolver, number, 3) for evolver in ("large", "small") for number in (1, 2, 3)
    ]
    _, header, body = target.read_bytes("README.md").decode().split("---\n", 2)
    assert yaml.safe_load(header)["configs"] == [{"config_name": "default", "data_files": "data/*.parquet"}]
    assert "18 of 60" in body
    assert "| large | 1 | 3 | 7 |" in body
    assert pq.read_schema(pa.BufferReader(target.read_bytes("data/00000.parquet"))).equals(RECORD_SCHEMA)
    assert [part.records for part in selection.parts] == [18]


def test_the_same_selection_has_the_same_bytes(output: Store, target: Store, tmp_path: Path) -> None:
    write_analysis(output, "unused", {"record_id": ["x"], "other": [1.0]})
    benchmarks = open_store(str(tmp_path / "tests"))
    benchmarks.write_bytes("a.txt", b"Explain step 10 of process 190 to 31 people.\n")
    again = open_store(str(tmp_path / "again"))
    rule = Rule("ic_ifd", top=Fraction(1, 2), per=("round",), near_duplicates=0.7, ngram=8)
    for item in (target, again):
        select(output, item, rule, benchmarks, say=quiet, shard_bytes=2000)
    assert files(target) == files(again)


def test_a_selection_of_a_selection(output: Store, target: Store, tmp_path: Path) -> None:
    select(output, target, Rule("ic_ifd", top=30), say=quiet)
    second = open_store(str(tmp_path / "second"))
    select(target, second, Rule("ic_ifd", top=Fraction(1, 2)), say=quiet)
    direct = open_store(str(tmp_path / "direct"))
    select(output, direct, Rule("ic_ifd", top=15), say=quiet)
    assert sorted(ids(read_records(second))) == sorted(ids(read_records(direct)))
    source = json.loads(second.read_bytes("selection.json"))["source"]
    assert (source["kind"], source["run_id"], source["records"]) == ("selection", RUN_ID, 30)


def test_a_range_keeps_its_bounds(output: Store, target: Store) -> None:
    selection = select(output, target, Rule("loss_q", range=(1.25, 1.75)), say=quiet)
    assert {record["loss_q"] for record in read_records(target)} == {1.25, 1.5, 1.75}
    assert {reason.label: count for reason, count in selection.totals.items()} == {"kept": 27, "outside_range": 33}


def test_an_analysis_beside_the_data_is_a_score(output: Store, target: Store) -> None:
    ordered = sorted(ids(read_records(output)))
    write_analysis(
        output,
        "difficulty",
        {"record_id": ordered[::-1], "difficulty": [*range(50), *[None] * 10], "level": ["x"] * 60},
    )
    selection = select(output, target, Rule("difficulty", top=2), say=quiet)
    assert sorted(ids(read_records(target))) == sorted([ordered[::-1][49], ordered[::-1][48]])
    assert {reason.label: count for reason, count in selection.totals.items()} == {
        "kept": 2,
        "null_score": 10,
        "below_cut": 48,
    }


def test_analyses_that_cannot_be_used_are_told(output: Store, target: Store) -> None:
    write_analysis(output, "one", {"record_id": ["a", "a"], "twice": [1, 2], "shared": [1, 2], "none": [None, None]})
    write_analysis(output, "two", {"record_id": ["a"], "shared": [1]})
    with pytest.raises(DamagedOutput, match="each record_id once"):
        select(output, target, Rule("twice", top=1), say=quiet)
    with pytest.raises(OutputError, match=r"in analyses/one.parquet and in analyses/two.parquet"):
        select(output, target, Rule("shared", top=1), say=quiet)


def test_a_file_beside_the_data_that_is_no_table_of_records_stands_in_nobodys_way(output: Store, target: Store) -> None:
    write_analysis(output, "numbered", {"record_id": [1], "mine": [1]})
    write_analysis(output, "without", {"mine": [1]})
    with pytest.raises(ConfigError, match="--by mine: expected a score"):
        select(output, target, Rule("mine", top=1), say=quiet)
    output.write_bytes("analyses/junk.parquet", b"no table")
    with pytest.raises(DamagedOutput, match=r"analyses/junk\.parquet: cannot be read as Parquet"):
        select(output, target, Rule("mine", top=1), say=quiet)
    assert select(output, target, QUARTER, say=quiet).counts


@pytest.mark.parametrize(
    ("rule", "lacks"),
    [
        (Rule("perplexity", top=1), "loss_q"),
        (Rule("ic_ifd", top=1, per=("operator",)), "operator"),
        (Rule("ic_ifd", top=1, drop_ifd_above=1.0), "ifd"),
        (Rule("ic_ifd", top=1, near_duplicates=0.7), "input"),
    ],
)
def test_columns_that_the_data_lack_are_named(rule: Rule, lacks: str, target: Store, tmp_path: Path) -> None:
    source = open_store(str(tmp_path / "scores"))
    write_output(source, [[record(0)]], schema=pa.schema([field for field in RECORD_SCHEMA if field.name != lacks]))
    with pytest.raises(ConfigError, match=f"lacks the columns {lacks}$"):
        select(source, target, rule, say=quiet)
    assert target.list() == []


def test_wrong_scores_are_told(output: Store, target: Store) -> None:
    with pytest.raises(ConfigError, match=r"--by evolver: expected a score, one of ifd_ppl, perplexity.*loss_q"):
        select(output, target, Rule("evolver", top=1), say=quiet)
    with pytest.raises(ConfigError, match="completion_tokens: has no usual order"):
        select(output, target, Rule("completion_tokens", top=1), say=quiet)
    assert target.list() == []


def test_a_score_that_no_record_has_is_told_with_the_near_one(target: Store, tmp_path: Path) -> None:
    output = open_store(str(tmp_path / "out"))
    write_output(output, [[record(number, reward=None, loss_q=None) for number in range(6)]])
    with pytest.raises(ConfigError, match=r"--by ic_ifd: no record of .* has this score; did you mean ifd\?.* ifd_ppl"):
        select(output, target, Rule("ic_ifd", top=1), say=quiet)
    with pytest.raises(ConfigError, match=r"did you mean ic_ifd\?"):
        select(output, target, Rule("icifd", top=1), say=quiet)


def test_scores_of_an_earlier_versions_output_are_told_without_those_that_it_cannot_have(
    target: Store, tmp_path: Path
) -> None:
    output, without = open_store(str(tmp_path / "out")), RECORD_SCHEMA.get_field_index("loss_instruction")
    records = [record(number, reward=None) for number in range(6)]
    write_output(output, [records], schema=RECORD_SCHEMA.remove(without))
    with pytest.raises(ConfigError, match=r"--by reward: no record of .* perplexity, "):
        select(output, target, Rule("reward", top=1), say=quiet)
    with pytest.raises(ConfigError, match=r"lacks the columns loss_instruction"):
        select(output, target, Rule("instruction_perplexity", top=1), say=quiet)


def test_a_selection_of_an_unfinished_run_says_so(output: Store, target: Store) -> None:
    said = list[str]()
    output.delete(["_SUCCESS"])
    select(output, target, Rule("ic_ifd", top=1), say=said.append)
    assert "not finished" in said[0]


def test_only_a_dataset_is_read_and_only_an_empty_folder_written(output: Store, target: Store, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is what is read"):
        select(output, output, QUARTER, say=quiet)
    with pytest.raises(OutputError, match=r"expected the output of a run \(with run.json\)"):
        select(open_store(str(tmp_path / "none")), target, QUARTER, say=quiet)
    empty = open_store(str(tmp_path / "begun"))
    empty.write_bytes("run.json", b'{"run_id": "x"}')
    with pytest.raises(OutputError, match="holds no record yet"):
        select(empty, target, QUARTER, say=quiet)


def test_parts_without_an_entry_are_not_read(output: Store, target: Store) -> None:
    leftover = output.read_bytes(output.list("data")[0][0])
    output.write_bytes("data/leftover.parquet", leftover)
    output.delete(["_SUCCESS"])
    select(output, target, Rule("ic_ifd", top=100), say=quiet)
    account = json.loads(target.read_bytes("selection.json"))
    assert account["counts"] == {"read": 60, "kept": 60}
    assert not account["source"]["finished"]


def test_rows_in_two_parts_are_told(tmp_path: Path, target: Store) -> None:
    output = open_store(str(tmp_path / "cut_short"))
    write_output(output, [[record(0), record(3)], [record(3, output="Another answer."), record(6)]], publishes=False)
    with pytest.raises(OutputError, match="rows are in two parts since the run was cut short"):
        select(output, target, QUARTER, say=quiet)


def test_a_damaged_part_is_named(output: Store, target: Store) -> None:
    path = output.list("data")[1][0]
    output.write_bytes(path, b"no parquet")
    with pytest.raises(DamagedOutput, match=path):
        select(output, target, QUARTER, say=quiet)


def test_selections_work_on_s3(s3_url: str, s3_options: dict[str, Any], output: Store, target: Store) -> None:
    there, kept = open_store(f"{s3_url}/run", s3_options), open_store(f"{s3_url}/best", s3_options)
    for path, _ in output.list():
        there.write_bytes(path, output.read_bytes(path))
    select(there, kept, QUARTER, say=quiet)
    select(output, target, QUARTER, say=quiet)
    assert files(kept) == files(target)
    with pytest.raises(OutputError, match="expected an empty or a new folder"):
        select(there, kept, QUARTER, say=quiet)


WRITING = """
import sys, time
from ray_jobs.datasets.selection_files import CONTENTS
from ray_jobs.datasets.target import new_dataset
from ray_jobs.storage.store import open_store
target = open_store(sys.argv[1])
with new_dataset(target, CONTENTS):
    for name in ("data/00000.parquet", "data/00007.parquet"):
        target.write_bytes(name, b"half")
    target.write_bytes("README.md", b"# Selected instructions")
    print("writing", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_selection_has_left_is_made_anew(output: Store, target: Store, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITING, target.url], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        with pytest.raises(LeaseHeld, match=f"process {writer.pid} .* is writing there"):
            select(output, target, QUARTER, say=quiet)
        writer.kill()
    target.write_bytes("notes.txt", b"mine")
    with pytest.raises(OutputError, match=r"expected an empty or a new folder, found notes.txt"):
        select(output, target, QUARTER, say=quiet)
    target.delete(["notes.txt"])
    select(output, target, QUARTER, say=quiet)
    undisturbed = open_store(str(tmp_path / "undisturbed"))
    select(output, undisturbed, QUARTER, say=quiet)
    assert files(target) == files(undisturbed)
    assert target.names() == ["README.md", "_slm_evolve.json", "data", "selection.json"]


def test_rewards_of_the_run_come_before_those_of_a_table(output: Store, target: Store, tmp_path: Path) -> None:
    ordered = sorted(ids(read_records(output)))
    write_analysis(output, "reward", {"record_id": ordered, "reward": [float(index) for index in range(60)]})
    select(output, target, Rule("reward", top=1), say=quiet)
    assert ids(read_records(target)) == [ordered[-1]]
    scored = open_store(str(tmp_path / "scored"))
    write_output(scored, [[record(number, reward=-float(number)) for number in range(60)]])
    write_analysis(scored, "reward", {"record_id": ordered, "reward": [float(index) for index in range(60)]})
    best = open_store(str(tmp_path / "best"))
    select(scored, best, Rule("reward", top=1), say=quiet)
    assert [record["reward"] for record in read_records(best)] == [0.0]


def test_an_empty_text_has_no_words() -> None:
    counts = word_counts(pa.array(["", " \n", "one", " two\u3000words\t", None]))
    assert counts[:4].tolist() == [0, 0, 1, 2]
    assert np.isnan(counts[4])


@pytest.mark.slow
def test_a_random_selection_is_a_draw_of_equal_chances_that_a_seed_repeats(output: Store, tmp_path: Path) -> None:
    def drawn(seed: int, top: int | Fraction = 15, per: tuple[str, ...] = ()) -> set[str]:
        target = open_store(str(tmp_path / f"{seed} {top} {len(per)}"))
        select(output, target, Rule("random", top=top, seed=seed, per=per), say=quiet)
        return set(ids(read_records(target)))

    draws = [drawn(seed) for seed in range(40)]
    assert {len(draw) for draw in draws} == {15}
    assert len(set(map(frozenset, draws))) == 40
    often = Counter(item for draw in draws for item in draw)
    # of 40 draws of a quarter each record is in 10 on average, with a deviation of 2.7
    assert len(often) == 60
    assert max(often.values()) <= 20
    assert drawn(3, 14) < draws[3]
    assert len(drawn(3, 2, ("evolver", "round"))) == 12
    account = json.loads(open_store(str(tmp_path / "3 15 0")).read_bytes("selection.json"))
    assert (account["rule"]["by"], account["rule"]["seed"], account["rule"]["top"]) == ("random", 3, 15)


def test_a_random_selection_is_the_same_however_the_records_are_stored(output: Store, tmp_path: Path) -> None:
    other = open_store(str(tmp_path / "other"))
    write_output(other, [[record(first + place) for place in (2, 0, 1)] for first in reversed(range(0, 60, 3))])
    rule = Rule("random", top=Fraction(1, 4), seed=1)
    for store, name in ((output, "one"), (other, "two")):
        select(store, open_store(str(tmp_path / name)), rule, say=quiet)
    item, two = (sorted(ids(read_records(open_store(str(tmp_path / name))))) for name in ("one", "two"))
    assert item == two


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"by": None, "top": "5", "random": None, "seed": None}, "--by"),
        ({"by": "ifd", "top": None, "random": "5", "seed": None}, "--random takes no --by"),
        ({"by": None, "top": None, "random": "5", "seed": None, "order": "highest"}, "--order"),
        ({"by": "ifd", "top": "5", "random": None, "seed": 1}, "--seed"),
        ({"by": "random", "top": "5", "random": None, "seed": None}, "--seed"),
        ({"by": None, "top": None, "random": "many", "seed": 1}, "many"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        make_rule(**options)
    assert make_rule(None, None, "25%", None) == Rule("random", top=Fraction(1, 4), seed=0)
