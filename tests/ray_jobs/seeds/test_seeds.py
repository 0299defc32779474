from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import ConfigError, SeedError, StorageError
from ray_jobs.seeds import read as seeds_module
from ray_jobs.seeds.read import BATCH_CHARACTERS, SeedBatch, SeedSource, read_seeds, seed_id, signature
from ray_jobs.seeds.report import SeedReport
from ray_jobs.storage.store import open_store
from tests.ray_jobs.fault_proxy import Fault, fault_proxy
from tests.ray_jobs.seed_reading import read


def write_jsonl(path: Path, *rows: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbered(*numbers: int) -> list[dict[str, object]]:
    return [{"instruction": f"Count to {n}."} for n in numbers]


def test_alpaca_demo(shared: Path) -> None:
    path = shared / "data" / "alpaca_en_demo.json"
    rows = json.loads(path.read_text())
    distinct = {(row["instruction"], row["input"]): row for row in reversed(rows)}

    seeds, bad, report = read(path)

    assert not bad
    assert (report.read, report.seeds, report.duplicates) == (999, len(distinct), 999 - len(distinct))
    assert {(s.instruction, s.input): s.output for s in seeds} == {k: v["output"] for k, v in distinct.items()}


def test_gsm8k_by_column_mapping(shared: Path) -> None:
    path = shared / "data" / "gsm8k_train.jsonl"
    lines = path.read_text().splitlines()

    seeds, bad, report = read(path, columns={"instruction": "question", "output": "answer"})

    assert not bad
    assert report == SeedReport(read=7473, seeds=7473)
    assert [(s.instruction, s.output) for s in seeds] == [
        (row["question"], row["answer"]) for row in map(json.loads, lines)
    ]
    assert len({s.seed_id for s in seeds}) == 7473


def test_id_is_of_instruction_and_input_alone(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Add.", "input": "1 2", "output": "three"},
        {"instruction": "Add. 1", "input": "2"},
        {"instruction": "Add.1 2", "input": None},
    ]
    seeds, _, report = read(write_jsonl(tmp_path / "s.jsonl", *rows))
    assert [s.output for s in seeds] == ["3", "", ""]
    assert report == SeedReport(read=4, seeds=3, duplicates=1)
    assert seeds[0].seed_id == seed_id("Add.", "1 2")
    # the id is a promise to data written earlier: BLAKE2b-128 of "Add.", NUL, "1 2"
    assert seed_id("Add.", "1 2") == "30aa70de48ad43fac2637b5b2f19354c"


def test_ids_depend_on_no_place(tmp_path: Path) -> None:
    item = write_jsonl(tmp_path / "one.jsonl", *numbered(1, 2), {"instruction": 5})
    two = write_jsonl(tmp_path / "two.jsonl", {"instruction": 5}, *numbered(2, 1))
    (seeds1, bad1, _), (seeds2, bad2, _) = read(item), read(two)
    assert [s.seed_id for s in seeds1] == [s.seed_id for s in reversed(seeds2)]
    assert [b.seed_id for b in bad1] == [b.seed_id for b in bad2]
    assert (bad1[0].line, bad2[0].line) == (3, 1)


def test_repeats_across_files_and_batches_are_dropped_good_or_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds_module, "BATCH_ROWS", 3)
    write_jsonl(tmp_path / "a.jsonl", *numbered(1, 2, 3, 4), {"instruction": None})
    write_jsonl(tmp_path / "b.jsonl", *numbered(4, 5, 1), {"instruction": None})
    batches = list(read_seeds(SeedSource((str(tmp_path),))))

    assert [s.instruction for b in batches for s in b.seeds] == [f"Count to {n}." for n in range(1, 6)]
    assert batches[-1].report == SeedReport(read=9, seeds=5, duplicates=3, bad={"wrong_type": 1})
    assert [b.report.read for b in batches] == [3, 6, 9]


def test_limit_counts_distinct_seeds(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", *numbered(1, 1), {"instruction": ""}, *numbered(2, 3, 4))
    seeds, bad, report = read(path, limit=2)
    assert [s.instruction for s in seeds] == ["Count to 1.", "Count to 2."]
    assert len(bad) == 1
    assert report == SeedReport(read=4, seeds=2, duplicates=1, bad={"empty_instruction": 1})


def test_limit_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds_module, "BATCH_ROWS", 3)
    path = write_jsonl(tmp_path / "s.jsonl", *numbered(*range(20)))
    assert len(read(path, limit=7)[0]) == 7
    assert len(read(path, limit=6)[0]) == 6
    assert len(read(path, limit=100)[0]) == 20


def test_stop_names_the_first_bad_row(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", *numbered(1), {"instruction": 7}, *numbered(2))
    with pytest.raises(SeedError, match=r"s\.jsonl:2: field 'instruction': expected text, got the number 7"):
        read(path, on_error="stop")
    assert len(read(path, on_error="stop", limit=1)[0]) == 1


def test_folder_takes_known_formats_at_any_depth(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "b" / "x.jsonl", *numbered(2))
    write_jsonl(tmp_path / "a.ndjson", *numbered(1))
    (tmp_path / "c.csv").write_text("instruction\nCount to 3.\n")
    (tmp_path / "README.md").write_text("not seeds")
    (tmp_path / "empty.jsonl").touch()
    write_jsonl(tmp_path / "_temporary" / "x.jsonl", *numbered(9))
    write_jsonl(tmp_path / ".hidden.jsonl", *numbered(9))

    assert [s.instruction for s in read(tmp_path)[0]] == ["Count to 1.", "Count to 2.", "Count to 3."]
    assert [s.instruction for s in read(tmp_path, format="csv")[0]] == ["Count to 3."]
    assert [s.instruction for s in read(f"{tmp_path}/")[0]] == ["Count to 1.", "Count to 2.", "Count to 3."]


def test_paths_in_their_order_and_each_file_once(tmp_path: Path) -> None:
    b, a = write_jsonl(tmp_path / "b.jsonl", *numbered(2)), write_jsonl(tmp_path / "a.jsonl", *numbered(1))
    seeds, _, report = read(b, tmp_path / "*.jsonl", a)
    assert [s.instruction for s in seeds] == ["Count to 2.", "Count to 1."]
    assert report.duplicates == 0


@pytest.mark.parametrize("codec", ["gz", "bz2", "zst", "lz4"])
def test_compressed_files(tmp_path: Path, codec: str) -> None:
    text = write_jsonl(tmp_path / "s.txt", *numbered(*range(3000))).read_bytes()
    path = tmp_path / f"s.jsonl.{codec}"
    with pa.CompressedOutputStream(str(path), {"gz": "gzip", "zst": "zstd"}.get(codec, codec)) as out:
        out.write(text)
    assert len(read(path)[0]) == 3000


def test_truncated_compression_keeps_what_came_and_says_so(tmp_path: Path) -> None:
    lines = [json.dumps({"instruction": f"Say {seed_id(str(n), '')}."}) for n in range(20_000)]
    whole = gzip.compress("\n".join(lines).encode())
    path = tmp_path / "s.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])

    seeds, bad, report = read(path)

    assert 0 < len(seeds) < 20_000
    assert bad[-1].reason == "damaged_file"
    assert bad[-1].line == report.read
    assert "the rest of the file cannot be read" in bad[-1].message


def test_file_that_is_not_compressed_as_it_says(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl.gz", *numbered(1))
    assert len(read(path)[0]) == 1
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(SeedError, match=r"s.jsonl.gz: .*(incorrect header|cannot be read)"):
        read(path)


@pytest.mark.slow
def test_long_rows_come_in_small_batches(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"instruction": ["a" * BATCH_CHARACTERS, "b"]}), path)
    assert [len(batch.seeds) for batch in read_seeds(SeedSource((str(path),)))] == [1, 1]


def test_s3(s3_url: str, s3_options: dict[str, Any], tmp_path: Path) -> None:
    store = open_store(s3_url, s3_options)
    rows = write_jsonl(tmp_path / "s.jsonl", *numbered(*range(100))).read_bytes()
    store.write_bytes("in/s.jsonl", rows)
    store.write_bytes("in/more/t.jsonl.gz", gzip.compress(json.dumps({"instruction": "Go."}).encode()))

    assert read(f"{s3_url}/in/*.jsonl", storage=s3_options)[2].seeds == 100
    assert read(f"{s3_url}/in", storage=s3_options)[2].seeds == 101
    assert read(s3_url, storage=s3_options)[2].seeds == 101
    bad = read(f"{s3_url}/in/s.jsonl", storage=s3_options, columns={"output": "instruction"})
    assert bad[2].seeds == 100
    with pytest.raises(SeedError, match=rf"{s3_url}/in/t.jsonl: no file of seeds there; {s3_url}/in has s.jsonl"):
        read(f"{s3_url}/in/t.jsonl", storage=s3_options)
    with pytest.raises(StorageError, match="the bucket does not exist"):
        read("s3://no-such-bucket/x.jsonl", storage=s3_options)


@pytest.mark.parametrize("name", ["s.jsonl", "s.json", "s.csv", "s.jsonl.gz", "s.parquet"])
def test_failing_storage_is_not_taken_for_a_damaged_file(s3_url: str, s3_options: dict[str, Any], name: str) -> None:
    rows = numbered(1, 2)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    lines = "\n".join(map(json.dumps, rows)).encode()
    contents = {
        "s.jsonl": lines,
        "s.json": json.dumps(rows).encode(),
        "s.csv": b"instruction\nGo.\n",
        "s.jsonl.gz": gzip.compress(lines),
        "s.parquet": sink.getvalue().to_pybytes(),
    }
    open_store(s3_url, s3_options).write_bytes(name, contents[name])
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        proxy.method = "GET"
        options = {**s3_options, "endpoint_url": proxy.url}
        batches = read_seeds(SeedSource((f"{s3_url}/{name}",), storage=options))
        proxy.faults = [Fault(403, "AccessDenied")]
        with pytest.raises(StorageError, match=f"{name}: cannot read: permission denied"):
            list(batches)


def test_no_match_names_what_is_near(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "seeds.jsonl", *numbered(1))
    (tmp_path / "other.csv").touch()
    for path, near in [("seed.jsonl", "seeds.jsonl"), ("*.parquet", "other.csv, seeds.jsonl")]:
        with pytest.raises(
            SeedError, match=rf"{tmp_path}/{path.replace('*', '[*]')}: no file of seeds there; {tmp_path} has {near}"
        ):
            read(tmp_path / path)
    with pytest.raises(SeedError, match="no file of seeds there, nor anything in"):
        read(tmp_path / "none" / "s.jsonl")


def test_empty_files_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.jsonl").touch()
    (tmp_path / "blank.json").write_text("\n \n")
    (tmp_path / "none.json").write_text("[]")
    with pytest.raises(SeedError, match=r"a.jsonl: the file is empty"):
        read(tmp_path / "a.jsonl")
    with pytest.raises(SeedError, match=r"all 2 files are empty"):
        read(tmp_path / "*.jsonl")
    for name in ["blank.json", "none.json"]:
        with pytest.raises(SeedError, match=rf"{name}: 1 files without a single row"):
            read(tmp_path / name)


def test_unknown_name_asks_for_a_format(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "seeds.txt", *numbered(1))
    with pytest.raises(SeedError, match=r"seeds.txt: its name does not end in .*say seeds.format"):
        read(path)
    assert len(read(path, format="jsonl")[0]) == 1


def test_columns_do_not_go_with_conversations(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", {"conversations": []})
    with pytest.raises(ConfigError, match=r"seeds.columns: expected none with seeds.layout sharegpt"):
        read(path, layout="sharegpt", columns={"instruction": "x"})


def test_signature_changes_with_files_and_options(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", *numbered(1))
    source = SeedSource((str(tmp_path / "*.jsonl"),))
    before = signature(source)
    assert signature(source) == before

    assert signature(SeedSource(source.paths, limit=3)) != before
    assert signature(SeedSource(source.paths, columns={"input": "x"})) != before
    other = write_jsonl(tmp_path / "t.jsonl", *numbered(2))
    assert signature(source) != before
    other.unlink()
    assert signature(source) == before
    write_jsonl(path, *numbered(3))
    assert signature(source) != before


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds_module, "BATCH_ROWS", 500)
    path = tmp_path / "s.jsonl"
    with path.open("w") as file:
        for n in range(15_000):
            file.write(json.dumps({"instruction": f"{n} " + "word " * 200}) + "\n")
    assert path.stat().st_size > 15e6
    tracemalloc.start()
    for batch in read_seeds(SeedSource((str(path),))):
        del batch
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_equal_pairs_are_several_and_tell_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds_module, "BATCH_ROWS", 2)
    rows: list[dict[str, object]] = [
        {
            "id": n,
            "instruction": "Name a river.",
            "output": answer,
            "score": float("nan"),
            "tags": ["\ud800", {"a": None}],
        }
        for n, answer in enumerate(["Nile", "Nile", "Rhine", "Nile"])
    ]
    path = write_jsonl(tmp_path / "s.jsonl", *rows)
    seeds, _, report = read(path, pairs=True)
    assert report == SeedReport(read=4, seeds=4)
    assert len({seed.seed_id for seed in seeds}) == 4
    told = [json.loads(seed.row or "") for seed in seeds]
    assert told == [
        {"file": str(path), "line": n, "columns": {"id": n - 1, "score": None, "tags": ["\ud800", {"a": None}]}}
        for n in range(1, 5)
    ]
    assert [seed.seed_id for seed in read(path, pairs=True, limit=3)[0]] == [seed.seed_id for seed in seeds[:3]]
    # the id of the first is a promise to scores of earlier versions: BLAKE2b-128 of the three texts
    assert seeds[0].seed_id == "ecaaefac11490f3a56021ac93acf502b"
    assert [seed.row for seed in read(path)[0]] == [None]


def test_pairs_of_a_table_keep_all_columns_but_bytes(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    row = {
        "instruction": "Go.",
        "output": "Gone.",
        "id": 7,
        "made": date(2026, 1, 2),
        "logo": b"x",
        "at": {"x": 1, "y": [2]},
    }
    pq.write_table(pa.Table.from_pylist([row]), path)
    (seed,), _, report = read(path, pairs=True)
    columns = {"id": 7, "made": "2026-01-02", "at": {"x": 1, "y": [2]}}
    assert json.loads(seed.row or "") == {"file": str(path), "line": 1, "columns": columns}
    assert report.unused_columns == ()


@pytest.mark.parametrize("count", [1, 7, 20])
def test_rows_without_any_seed_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(seeds_module, "BATCH_ROWS", 7)
    bad: list[dict[str, object]] = [{"instruction": n} for n in range(count - 1)]
    path = write_jsonl(tmp_path / "s.jsonl", *bad, {"instruction": ""})
    reasons = r"1 empty_instruction" if count == 1 else rf"{count - 1} wrong_type, 1 empty_instruction"
    batches = read_seeds(SeedSource((str(path),)))
    with pytest.raises(SeedError, match=rf"no usable seed in {count} rows \({reasons}\); the first: {path}:1: "):
        list(batches)
    write_jsonl(path, *bad, *bad, *numbered(1))
    assert len(read(path)[0]) == 1


def test_batches_before_the_first_seed_are_kept_back_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds_module, "BATCH_ROWS", 2)
    path = tmp_path / "s.jsonl"
    for rows, handed_out in [(2 * seeds_module.HELD_BATCHES, False), (2 * seeds_module.HELD_BATCHES + 2, True)]:
        write_jsonl(path, *({"instruction": n} for n in range(rows)))
        batches = list[SeedBatch]()
        with pytest.raises(SeedError, match="no usable seed"):
            batches.extend(read_seeds(SeedSource((str(path),))))
        assert bool(batches) is handed_out
    write_jsonl(path, *({"instruction": n} for n in range(rows)), *numbered(1))
    found, faults, report = read(path)
    assert (len(found), len(faults), report.read) == (1, rows, rows + 1)


def test_a_first_batch_without_a_seed_is_not_handed_out(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "s.jsonl", {"instruction": 1}, {"instruction": 2})
    with pytest.raises(SeedError):
        next(read_seeds(SeedSource((str(path),))))


def test_real_files_by_paths_and_layouts(shared: Path) -> None:
    data = shared / "data"
    prompts, bad, report = read(data / "ifeval_prompts.jsonl", columns={"instruction": "prompt"})
    assert not bad
    assert report.read == 541
    assert set(report.unused_columns) == {"key", "instruction_id_list", "kwargs"}
    rows = [json.loads(line) for line in (data / "autoif" / "eval_func_rft.jsonl").read_text().splitlines()]
    replies, _, _ = read(data / "autoif" / "eval_func_rft.jsonl", columns={"output": "gpt-answer.0"})
    assert [reply.output for reply in replies] == [row["gpt-answer"][0] for row in rows]
    assert prompts[0].instruction == json.loads((data / "ifeval_prompts.jsonl").open().readline())["prompt"]
    queries = read(data / "autoif" / "query_rft.jsonl", columns={"output": "gpt-answer"})[2]
    assert queries.notes["output_not_text"].count == queries.seeds
