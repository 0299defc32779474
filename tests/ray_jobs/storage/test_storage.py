from __future__ import annotations

import multiprocessing
import os
import pickle
import stat
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_jobs.errors import MissingFile, StorageError
from ray_jobs.storage.store import Store, open_store
from ray_jobs.storage.urls import split_glob
from tests.ray_jobs.fault_proxy import Fault, FaultProxy, fault_proxy

S3Options = dict[str, Any]


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        url = request.getfixturevalue("s3_url")
        return open_store(f"{url}/run", request.getfixturevalue("s3_options"))
    return open_store(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def test_reads_back_what_it_wrote(store: Store) -> None:
    store.write_bytes("data/a.bin", b"first")
    store.write_bytes("data/a.bin", b"second")

    assert store.read_bytes("data/a.bin") == b"second"
    assert store.size("data/a.bin") == 6
    assert store.exists("data/a.bin")
    assert not store.exists("data")
    assert not store.exists("data/b.bin")
    assert (store.kind("data"), store.kind("nowhere")) == ("folder", None)


def test_lists_at_any_depth_sorted_and_without_caching(store: Store) -> None:
    assert list(store.list()) == []
    for path in ["b", "data/x/2", "data/1", "data0"]:
        store.write_bytes(path, b"12")

    assert store.list() == [("b", 2), ("data/1", 2), ("data/x/2", 2), ("data0", 2)]
    assert store.list("data") == [("data/1", 2), ("data/x/2", 2)]
    assert list(store.list("nowhere")) == []
    assert store.names() == ["b", "data", "data0"]
    store.delete(["data/1"])
    assert store.list("data") == [("data/x/2", 2)]


def test_glob_keeps_to_its_folder_unless_told_otherwise(store: Store) -> None:
    for path in ["a.json", "x/b.json", "x/y/c.json", "x/b.csv"]:
        store.write_bytes(path, b"{}")

    def found(pattern: str) -> list[str]:
        return [entry.path for entry in store.glob(pattern)]

    assert found("*.json") == ["a.json"]
    assert found("x/*.json") == ["x/b.json"]
    assert found("x/?.csv") == ["x/b.csv"]
    assert found("**/*.json") == ["a.json", "x/b.json", "x/y/c.json"]
    assert found("x/b.csv") == ["x/b.csv"]
    assert found("*/nothing") == []


def test_version_changes_with_the_content(store: Store) -> None:
    store.write_bytes("a", b"one")
    before = store.entry("a")
    assert store.entry("a") == before
    store.write_bytes("a", b"two")
    assert store.entry("a").version != before.version


def test_deletes_what_is_there_and_passes_over_what_is_not(store: Store) -> None:
    store.write_bytes("a", b"")
    store.delete(["a", "missing", "none/either"])
    assert list(store.list()) == []


def test_missing_file_is_an_error_of_its_own(store: Store) -> None:
    with pytest.raises(MissingFile, match=r"gone.txt: cannot read: there is no such file"):
        store.read_bytes("gone.txt")
    with pytest.raises(MissingFile, match="cannot read"):
        store.open_input("gone.txt").read()
    with pytest.raises(MissingFile, match="cannot look up"):
        store.size("gone.txt")


def test_open_input_seeks(store: Store) -> None:
    store.write_bytes("n", bytes(range(200)))
    with store.open_input("n") as file:
        file.seek(100)
        assert file.read(2) == b"de"
        file.seek(-1, os.SEEK_END)
        assert file.read() == b"\xc7"


def test_parquet_is_read_from_an_open_file(store: Store) -> None:
    table = pa.table({"n": list(range(1000))})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    store.write_bytes("data/t.parquet", sink.getvalue().to_pybytes())

    with store.open_input("data/t.parquet") as file:
        assert pq.read_table(file).equals(table)


def test_store_travels(store: Store) -> None:
    store.write_bytes("a", b"here")
    assert pickle.loads(pickle.dumps(store)).read_bytes("a") == b"here"


def test_create_exclusive_tells_the_winner_and_keeps_its_bytes(store: Store) -> None:
    assert store.create_exclusive("locks/run", b"first")
    assert not store.create_exclusive("locks/run", b"second")
    assert store.read_bytes("locks/run") == b"first"
    assert store.list() == [("locks/run", 5)]


def test_one_thread_wins_a_creation(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        for lock in range(5):
            created = list(pool.map(store.create_exclusive, [f"lock{lock}"] * 8, [b"same"] * 8))
            assert sum(created) == 1


@pytest.mark.slow
@pytest.mark.parametrize("store", ["local", "s3"], indirect=True)
def test_one_process_wins_a_creation(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        jobs = [pool.submit(_create_all, store, n) for n in range(2)]
        won = [set(job.result()) for job in jobs]
    assert won[0] | won[1] == set(range(40))
    assert not won[0] & won[1]


def _create_all(store: Store, worker: int) -> list[int]:
    return [n for n in range(40) if store.create_exclusive(f"lock{n}", b"%d" % worker)]


def test_threads_share_a_store(store: Store) -> None:
    def round_trip(n: int) -> bool:
        store.write_bytes(f"f{n}", b"%d" % n)
        return store.read_bytes(f"f{n}") == b"%d" % n

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(64)))
    assert len(store.list()) == 64


def test_relative_local_root_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("out")
    monkeypatch.chdir("/")
    store.write_bytes("a", b"1")
    assert (tmp_path / "out" / "a").read_bytes() == b"1"
    assert store.url == str(tmp_path / "out")


def test_failed_local_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match=r"taken: cannot write: Is a directory"):
        store.write_bytes("taken", b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "taken"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_an_error_not_a_hole_in_the_listing(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0)
    (tmp_path / "open").write_bytes(b"")
    try:
        with pytest.raises(StorageError, match="cannot list: permission denied"):
            open_store(str(tmp_path)).list()
    finally:
        (tmp_path / "secret").chmod(stat.S_IRWXU)


def test_local_listing_follows_links_to_files_alone(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"12345")
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "data.json").symlink_to(tmp_path / "blob")
    (folder / "circle").symlink_to(folder)
    (folder / "dangling").symlink_to(tmp_path / "gone")
    assert open_store(str(tmp_path)).list("snapshot") == [("snapshot/data.json", 5)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://x/y", "nosuch://x/y: cannot open: Protocol not known: nosuch"),
        ("s3://", "names no bucket, expected s3://BUCKET/PATH"),
        ("out\0put", "which holds no NUL"),
    ],
)
def test_unusable_url(url: str, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        open_store(url)


def test_missing_bucket_says_so(s3_options: S3Options) -> None:
    store = open_store("s3://no-such-bucket/run", s3_options)
    calls: list[Callable[[], object]] = [
        store.list,
        lambda: store.read_bytes("a"),
        lambda: store.exists("a"),
        lambda: store.write_bytes("a", b""),
        lambda: store.create_exclusive("a", b""),
        lambda: store.delete(["a"]),
    ]
    for call in calls:
        with pytest.raises(StorageError, match="the bucket does not exist") as raised:
            call()
        assert not isinstance(raised.value, MissingFile)


@pytest.fixture
def enforced_auth(s3_options: S3Options) -> Iterator[None]:
    def set_free_requests(count: str) -> None:
        headers = {"Content-Type": "text/plain"}
        url = f"{s3_options['endpoint_url']}/moto-api/reset-auth"
        urllib.request.urlopen(urllib.request.Request(url, count.encode(), headers)).close()

    set_free_requests("0")
    yield
    set_free_requests("inf")


def test_bad_credentials_say_so(s3_url: str, s3_options: S3Options, enforced_auth: None) -> None:
    store = open_store(s3_url, s3_options)
    with pytest.raises(StorageError, match=r"cannot list: the credentials are not valid \(InvalidAccessKeyId\)"):
        store.list()


def test_denied_says_so(s3_url: str, s3_options: S3Options) -> None:
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        store = open_store(s3_url, {**s3_options, "endpoint_url": proxy.url})
        proxy.faults = [Fault(403, "AccessDenied")]
        with pytest.raises(StorageError, match="a: cannot write: permission denied; these credentials"):
            store.write_bytes("a", b"")


def test_unreachable_endpoint_says_so(s3_options: S3Options) -> None:
    store = open_store("s3://any/run", {**s3_options, "endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StorageError, match="cannot list: the store does not answer"):
        store.list()


@pytest.fixture
def flaky(s3_url: str, s3_options: S3Options) -> Iterator[tuple[FaultProxy, Store]]:
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        yield proxy, open_store(s3_url, {**s3_options, "endpoint_url": proxy.url})


def test_server_errors_are_tried_again(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.faults = [Fault(503, "SlowDown"), Fault(500, "InternalError")]
    store.write_bytes("a", b"there")
    assert store.read_bytes("a") == b"there"
    assert proxy.requests == 3


def test_server_errors_that_stay_name_url_operation_and_cause(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.faults = [Fault(500, "InternalError")] * 20
    with pytest.raises(StorageError, match=r"s3://\S+/a: cannot write: InternalError on purpose"):
        store.write_bytes("a", b"")
    assert proxy.requests == 3


def test_creation_whose_answer_was_lost_is_still_ours(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.faults = [Fault(500, "InternalError", after=True)]
    assert store.create_exclusive("lock", b"same")
    assert not store.create_exclusive("lock", b"same")


def test_conflicting_creation_is_tried_again(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.faults = [Fault(409, "ConditionalRequestConflict")]
    assert store.create_exclusive("lock", b"")
    assert proxy.requests == 2


def test_deletes_more_than_one_request_holds(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.method = "POST"
    store.delete(f"missing/{n}" for n in range(1001))
    assert proxy.requests == 2


def test_options_stay_out_of_its_text(s3_url: str) -> None:
    assert "hunter2" not in repr(open_store(s3_url, {"key": "k", "secret": "hunter2"}))


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://b/x/*.json", ("s3://b/x", "*.json")),
        ("x/**/y.json", ("x", "**/y.json")),
        ("*.json", (".", "*.json")),
        ("/*.json", ("/", "*.json")),
        ("data/seed[0-9].csv", ("data", "seed[0-9].csv")),
        ("data/plain.csv", ("data/plain.csv", "")),
    ],
)
def test_split_glob(url: str, parts: tuple[str, str]) -> None:
    assert split_glob(url) == parts
