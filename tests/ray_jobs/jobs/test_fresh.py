"""Beginning afresh: what `evolve run --fresh --delete` takes, and what it never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ray_jobs.config.run import RunConfig
from ray_jobs.errors import ConfigError, LeaseHeld, OutputError, SeedError
from ray_jobs.jobs.fresh import begin_afresh
from ray_jobs.jobs.synthesis import SynthesisJob
from ray_jobs.output.lease import acquire
from ray_jobs.output.ownership import MARK, claim, kept_for_good
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.samples import run_config, write_seeds

HEX = "0123456789abcdef01234567"
OURS = {
    "README.md": b"card",
    "_SUCCESS": b"",
    f"data/{HEX}.parquet": b"d" * 2000,
    f"manifest/{HEX}.json": b"{}",
    "plan/a/000000000000-4.parquet": b"",
    "plan/index.json": b"{}",
    "run.json": b"{}",
    "analyses/win/_slm_evolve.json": b"{}",
    "analyses/win/summary.json": b"[]",
}


@pytest.fixture
def run(tmp_path: Path) -> RunConfig:
    write_seeds(tmp_path / "seeds.jsonl", ["Count."])
    return run_config(tmp_path)


@pytest.fixture
def output(run: RunConfig) -> Store:
    """A marked output."""
    store = open_store(run.output)
    claim(store, "run")
    fill(store)
    return store


def fill(store: Store) -> None:
    for path, data in OURS.items():
        store.write_bytes(path, data)


def afresh(run: RunConfig, delete: bool = True, answer: bool = True) -> list[str]:
    """Begin afresh, and return what was to be confirmed."""
    asked: list[str] = []

    def confirm(text: str) -> None:
        asked.append(text)
        if not answer:
            raise ConfigError("no")

    begin_afresh(SynthesisJob(run), delete, confirm)
    return asked


def paths(store: Store) -> list[str]:
    return [path for path, _ in store.list()]


def test_a_new_output_and_one_with_a_mark_alone_are_fresh(run: RunConfig) -> None:
    assert afresh(run, delete=False) == []
    store = open_store(run.output)
    assert store.names() == []
    claim(store, "run")
    assert afresh(run, delete=False) == afresh(run) == []
    assert paths(store) == [MARK]


def test_without_delete_an_output_stays(run: RunConfig, output: Store) -> None:
    with pytest.raises(OutputError, match="--fresh wants an empty output, this one holds 9 files; see --delete"):
        afresh(run, delete=False)
    assert len(paths(output)) == 10


def test_what_it_takes_is_shown_and_taken_and_the_mark_stays(run: RunConfig, output: Store) -> None:
    (shown,) = afresh(run)
    assert f"{run.output}: to be removed: 9 files, 2.0 KiB" in shown
    assert "1 files      2.0 KiB  data/" in shown
    assert "2 files          4 B  analyses/" in shown
    assert (
        f"README.md, _SUCCESS, analyses/win/_slm_evolve.json, analyses/win/summary.json, data/{HEX}.parquet, …" in shown
    )
    assert paths(output) == [MARK]
    assert list(output.names()) == [MARK]
    afresh(run, delete=False)


def test_without_a_yes_nothing_is_taken(run: RunConfig, output: Store) -> None:
    before = paths(output)
    with pytest.raises(ConfigError):
        afresh(run, answer=False)
    assert paths(output) == before


@pytest.mark.parametrize("stranger", ["notes.txt", "data/raw/survey.parquet", ".git/config", "analyses/mine.parquet"])
def test_one_foreign_file_keeps_all(run: RunConfig, output: Store, stranger: str) -> None:
    output.write_bytes(stranger, b"theirs")
    before = paths(output)
    with pytest.raises(OutputError, match=f"nothing is removed.*{stranger}"):
        afresh(run)
    assert paths(output) == before


def test_a_folder_that_never_was_an_output_stays(run: RunConfig) -> None:
    store = open_store(run.output)
    for name in ("README.md", "report.json", "lease/000001.json"):
        store.write_bytes(name, b"theirs")
    with pytest.raises(OutputError, match="expected an empty or a new place"):
        afresh(run)
    assert len(paths(store)) == 3
    other = open_store(run.output + "2")
    claim(other, "search")
    other.write_bytes("report.json", b"{}")
    with pytest.raises(OutputError, match="holds a search"):
        afresh(run.model_copy(update={"output": other.url}))


def test_a_mistyped_path_of_seeds_takes_nothing(run: RunConfig, output: Store, tmp_path: Path) -> None:
    before = paths(output)
    (tmp_path / "seeds.jsonl").rename(tmp_path / "sedes.jsonl")
    with pytest.raises(SeedError):
        afresh(run)
    assert paths(output) == before


def test_seeds_in_the_output_are_not_taken(run: RunConfig, output: Store, tmp_path: Path) -> None:
    write_seeds(tmp_path / "out" / "data" / f"{HEX}.parquet", ["Count."])
    before = paths(output)
    for path in ("out", "out/data", f"out/data/{HEX}.parquet", "out/data/*.parquet", "o*t/data/*.parquet"):
        seeds = {"path": str(tmp_path / path), "format": "jsonl" if path.endswith("t") else "auto"}
        with pytest.raises((OutputError, SeedError)) as raised:
            afresh(run_config(tmp_path, seeds=seeds))
        assert raised.type is SeedError or "seeds are there" in str(raised.value)
        assert paths(output) == before


@pytest.mark.parametrize("place", ["", "augment", "analyses/win"])
def test_a_run_that_works_there_or_in_it_is_left_alone(run: RunConfig, output: Store, place: str) -> None:
    holder = acquire(output.below(place) if place else output)
    before = paths(output)
    with pytest.raises(LeaseHeld, match="may be working on this output; stop it first"):
        afresh(run)
    assert [path for path in paths(output) if "epochs" not in path] == [path for path in before if "epochs" not in path]
    holder.release()
    afresh(run)
    assert set(paths(output)) == kept_for_good(paths(output))


def test_a_home_is_not_emptied(run: RunConfig, output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", run.output)
    with pytest.raises(OutputError, match="home"):
        afresh(run)
    assert len(paths(output)) == 10


def test_a_bucket_s_root_is_not_emptied(run: RunConfig, s3_url: str, s3_options: dict[str, Any]) -> None:
    for url in (s3_url, f"{s3_url}/out"):
        store = open_store(url, s3_options)
        claim(store, "run")
        store.write_bytes("run.json", b"{}")
    at_root = run.model_copy(update={"output": s3_url, "storage": s3_options})
    with pytest.raises(OutputError, match="whole bucket"):
        afresh(at_root)
    afresh(run.model_copy(update={"output": f"{s3_url}/out", "storage": s3_options}))
    assert paths(open_store(s3_url, s3_options)) == [MARK, f"out/{MARK}", "run.json"]


def test_an_output_of_the_version_before_is_taken_too(run: RunConfig, tmp_path: Path) -> None:
    from ray_jobs.output.ownership import FIRST_RUN_FIELDS

    store = open_store(run.output)
    fill(store)
    store.write_bytes("run.json", str(dict.fromkeys(sorted(FIRST_RUN_FIELDS), 0)).replace("'", '"').encode())
    afresh(run)
    assert paths(store) == [MARK]
