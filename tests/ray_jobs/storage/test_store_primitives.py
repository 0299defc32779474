"""What taking an output over asks of a store: a single put, publishing, conditional creation, and that it is tried."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.errors import StorageError, StoreAway
from ray_jobs.storage.capabilities import Capabilities
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.fault_proxy import Fault, FaultProxy, fault_proxy

S3Options = dict[str, Any]
SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return open_store(f"{request.getfixturevalue('s3_url')}/run", request.getfixturevalue("s3_options"))
    return open_store(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def flaky(s3_url: str, s3_options: S3Options) -> Iterator[tuple[FaultProxy, Store]]:
    """A store with patience and the client's default retries, behind a proxy."""
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        options = {key: value for key, value in s3_options.items() if key != "config_kwargs"}
        yield proxy, open_store(f"{s3_url}/run", {**options, "endpoint_url": proxy.url}, 60)


def test_puts_once_and_replaces(store: Store) -> None:
    store.put_once("staged/a", b"first")
    store.put_once("staged/a", b"second")
    assert store.read_bytes("staged/a") == b"second"
    assert store.list() == [("staged/a", 6)]


def test_publishes_what_exists_over_what_is_there(store: Store) -> None:
    store.write_bytes("staged/a", b"new")
    store.write_bytes("data/a", b"old")
    assert store.publish("staged/a", "data/a")
    assert store.read_bytes("data/a") == b"new"


def test_publishes_nothing_without_a_source(store: Store) -> None:
    assert not store.publish("staged/gone", "data/a")
    assert not store.exists("data/a")


def test_probe_finds_both_and_leaves_nothing(store: Store) -> None:
    assert store.probe("lease") == Capabilities(conditional_create=True, publish=True, reason="")
    assert store.probe("") == Capabilities(conditional_create=True, publish=True, reason="")
    assert store.list() == []


def test_one_of_many_publishes_a_file_on_disk(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write_bytes("staged/a", b"1")
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda n: store.publish("staged/a", f"data/{n}"), range(8))) == 1
    assert len(store.list()) == 1


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    if not os.access(SHARED_MEMORY, os.W_OK) or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as folder:
        yield Path(folder)


def test_publishing_across_file_systems_is_refused(tmp_path: Path, other_disk: Path) -> None:
    (tmp_path / "staged").symlink_to(other_disk)
    store = open_store(str(tmp_path))
    store.write_bytes("staged/a", b"1")
    with pytest.raises(StorageError, match="two file systems"):
        store.publish("staged/a", "data/a")
    assert not store.exists("data/a")
    assert store.exists("staged/a")


@pytest.mark.parametrize("status", [503, 500, 429])
def test_single_put_ends_at_its_first_error(flaky: tuple[FaultProxy, Store], status: int) -> None:
    proxy, store = flaky
    proxy.faults = [Fault(status, "SlowDown")]
    with pytest.raises(StoreAway, match="staged/a: cannot write"):
        store.put_once("staged/a", b"1")
    assert proxy.requests == 1


def test_single_put_whose_answer_is_lost_is_not_repeated(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    store.put_once("staged/warm", b"")
    proxy.faults = [Fault(lost=True)]
    with pytest.raises(StoreAway, match="the store does not answer"):
        store.put_once("staged/a", b"1")
    assert proxy.requests == 2
    assert store.read_bytes("staged/a") == b"1"


def test_single_put_takes_more_than_the_client_sends_in_one_part(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    store.put_once("staged/a", bytes(101 << 20))
    assert proxy.requests == 1
    assert store.size("staged/a") == 101 << 20


def test_single_put_carries_the_settings_of_the_store(s3_url: str, s3_options: S3Options) -> None:
    settings = {**s3_options, "s3_additional_kwargs": {"ContentType": "text/x-probe", "CopySource": "not of a put"}}
    store = open_store(s3_url, settings)
    store.put_once("a", b"1")
    assert store._fs.info(store._path("a"))["ContentType"] == "text/x-probe"


def test_publishing_is_one_request_of_the_server(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    store.write_bytes("staged/a", b"1")
    proxy.requests = 0
    assert store.publish("staged/a", "data/a")
    assert proxy.requests == 1
    assert store.exists("staged/a")


def test_publishing_again_after_a_lost_answer(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    store.write_bytes("staged/a", b"1")
    proxy.faults = [Fault(503, "SlowDown", after=True)]
    assert store.publish("staged/a", "data/a")
    assert store.read_bytes("data/a") == b"1"


def test_publishing_into_a_bucket_that_is_gone_is_an_error(s3_options: S3Options) -> None:
    with pytest.raises(StorageError, match="the bucket does not exist"):
        open_store("s3://no-such-bucket/run", s3_options).publish("a", "b")


def test_probe_sees_a_store_that_ignores_conditions(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.ignored = {"if-none-match"}
    found = store.probe("lease")
    assert (found.conditional_create, found.publish) == (False, True)
    assert "If-None-Match" in found.reason
    assert store.list() == []


def test_probe_sees_a_store_that_refuses_conditions(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.refused = {"if-none-match": Fault(501, "NotImplemented")}
    found = store.probe("lease")
    assert (found.conditional_create, found.publish) == (False, True)
    assert "does not support" in found.reason


def test_probe_sees_a_store_that_copies_nothing(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.ignored = {"x-amz-copy-source"}
    found = store.probe("lease")
    assert (found.conditional_create, found.publish) == (True, False)
    assert "did not publish" in found.reason


def test_probe_where_nothing_may_be_written(flaky: tuple[FaultProxy, Store]) -> None:
    proxy, store = flaky
    proxy.faults = [Fault(403, "AccessDenied")]
    with pytest.raises(StorageError, match="permission denied"):
        store.probe("lease")
