"""What a store waits for, for how long, and what ends at once, against a real S3 server behind a faulty proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from ray_jobs.errors import StorageError, StoreAway
from ray_jobs.storage.retries import Clock
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.fault_proxy import Fault, FaultProxy, fault_proxy

S3Options = dict[str, Any]
Faulty = tuple[FaultProxy, Store]


class Hurrying(Clock):
    """Sleeps in no time, and says for how long it did."""

    def __init__(self) -> None:
        self.slept = list[float]()

    def now(self) -> float:
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


PAGE = b"<html><body><hr>busy</body></html>"


@pytest.fixture
def clock() -> Hurrying:
    return Hurrying()


@pytest.fixture
def faulty(s3_url: str, s3_options: S3Options, clock: Hurrying) -> Iterator[Faulty]:
    """A store with patience and the retries that it has by default, behind a proxy; its pauses take no time."""
    with fault_proxy(s3_options["endpoint_url"]) as proxy:
        options = {key: value for key, value in s3_options.items() if key != "config_kwargs"}
        yield proxy, open_store(f"{s3_url}/run", {**options, "endpoint_url": proxy.url}, 30, clock)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, "TooManyRequests"),
        Fault(429, body=b""),
        Fault(429, body=PAGE),
        Fault(503, "OurOwnCode"),
        Fault(503, body=PAGE),
        Fault(529, body=b""),
        Fault(500, body=b"{}"),
        Fault(lost=True),
    ],
    ids=str,
)
def test_waits_whatever_the_code(faulty: Faulty, clock: Hurrying, fault: Fault) -> None:
    proxy, store = faulty
    for method, call in (
        ("PUT", lambda: store.write_bytes("a", b"there")),
        ("GET", lambda: store.read_bytes("a")),
        ("GET", lambda: store.list()),
        ("HEAD", lambda: store.size("a")),
        ("POST", lambda: store.delete(["a"])),
    ):
        proxy.method, proxy.faults = method, [fault]
        call()
        assert proxy.faults == []
    # lost requests that bear it are made again by the client itself
    assert len(clock.slept) == (1 if fault.lost else 5)
    assert all(0.25 <= pause <= 0.5 for pause in clock.slept)


@pytest.mark.parametrize("status", [400, 403, 405, 411, 501])
def test_permanent_answers_end_at_once(faulty: Faulty, status: int) -> None:
    proxy, store = faulty
    proxy.faults = [Fault(status, "OurOwnCode")] * 2
    with pytest.raises(StorageError, match=r"a: cannot write") as raised:
        store.write_bytes("a", b"")
    assert not isinstance(raised.value, StoreAway)
    assert proxy.requests == 1


def test_keeps_the_pause_that_the_store_asks_for(faulty: Faulty, clock: Hurrying) -> None:
    proxy, store = faulty
    proxy.faults = [Fault(503, headers=(("Retry-After", "2"),))]
    store.write_bytes("a", b"")
    # dates are told in whole seconds, and the busy machine takes some
    until = formatdate(time.time() + 25, usegmt=True)
    proxy.faults = [Fault(429, headers=(("Retry-After", until),))]
    store.write_bytes("a", b"")
    assert clock.slept[0] == 2
    assert 10 < clock.slept[1] <= 25


def test_advice_beyond_its_patience_is_cut(faulty: Faulty, clock: Hurrying) -> None:
    proxy, store = faulty
    proxy.faults = [Fault(503, headers=(("Retry-After", "3600"),))] * 5
    with pytest.raises(StoreAway, match="SlowDown"):
        store.retrying(20).write_bytes("a", b"")
    (pause,) = clock.slept
    assert 10 < pause <= 20
    assert proxy.requests == 2


def test_each_page_of_a_listing_is_waited_for_by_itself(faulty: Faulty) -> None:
    proxy, store = faulty
    for number in range(3):
        store.write_bytes(f"a{number}", b"")
    store._fs.s3_additional_kwargs["MaxKeys"] = 1
    proxy.method, proxy.requests = "GET", 0
    proxy.faults = [Fault(503), Fault(503)]
    assert [path for path, _ in store.list()] == ["a0", "a1", "a2"]
    # two faults, three pages
    assert proxy.requests == 5


def test_only_refused_keys_are_deleted_again(faulty: Faulty) -> None:
    proxy, store = faulty
    for name in "abc":
        store.write_bytes(name, b"")
    proxy.method = "POST"
    proxy.faults = [refusing("b", "OurOwnBusyCode")]
    proxy.bodies.clear()
    store.delete(["a", "b", "c"])
    assert [body.count(b"<Key>") for body in proxy.bodies] == [3, 1]
    assert b"run/b" in proxy.bodies[1]
    assert store.list() == []


def test_a_refused_key_is_named(faulty: Faulty) -> None:
    proxy, store = faulty
    proxy.method = "POST"
    proxy.faults = [refusing("b", "AccessDenied")]
    with pytest.raises(StorageError, match=r"run/b: cannot delete: AccessDenied") as raised:
        store.delete(["a", "b"])
    assert not isinstance(raised.value, StoreAway)
    assert proxy.requests == 1


def test_a_key_that_stays_refused_is_named(faulty: Faulty) -> None:
    proxy, store = faulty
    proxy.method = "POST"
    proxy.faults = [refusing("b", "SlowDown")] * 9
    with pytest.raises(StoreAway, match=r"run/b: cannot delete: SlowDown"):
        store.retrying(0.5).delete(["a", "b"])


def refusing(name: str, code: str) -> Fault:
    """The answer to a bulk deletion that was done, except for one key."""
    error = f"<Error><Key>run/{name}</Key><Code>{code}</Code><Message>on purpose</Message></Error>"
    return Fault(200, body=f"<DeleteResult>{error}</DeleteResult>".encode(), after=True)


def test_a_skewed_clock_is_named(faulty: Faulty) -> None:
    proxy, store = faulty
    times = "<RequestTime>20260101T000000Z</RequestTime><ServerTime>2026-11-28T12:00:00Z</ServerTime>"
    body = f"<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message>{times}</Error>".encode()
    proxy.faults = [Fault(403, body=body)]
    with pytest.raises(StorageError, match=r"clock.*20260101T000000Z.*2026-11-28T12:00:00Z"):
        store.write_bytes("a", b"")
    proxy.method = "HEAD"
    proxy.faults = [Fault(403, body=b"", headers=(("Date", formatdate(0, usegmt=True)),))]
    with pytest.raises(StorageError, match=r"clock.*there 1970-01-01"):
        store.size("a")


def test_late_and_lost_answers(faulty: Faulty) -> None:
    proxy, store = faulty
    proxy.faults = [Fault(503, delay=0.3), Fault(applied_after=0.2)]
    store.write_bytes("a", b"1")
    for late in proxy.late:
        late.join()
    assert store.read_bytes("a") == b"1"


def test_gives_up_uploads_of_dead_writers(faulty: Faulty) -> None:
    _, store = faulty
    for key in ("run/data/a", "run/data/b", "run/other", "runner/data/c"):
        store._fs.call_s3("create_multipart_upload", Bucket=store._bucket, Key=key)  # type: ignore[attr-defined]
    # the server says of each that it began in 2010
    assert list(store.abort_uploads("data", min_age=100 * 365 * 86400)) == []
    assert sorted(store.abort_uploads("data", min_age=0)) == ["data/a", "data/b"]
    assert list(store.abort_uploads("data", min_age=0)) == []
    assert list(store.abort_uploads(min_age=0)) == ["other"]
    left = store._fs.call_s3("list_multipart_uploads", Bucket=store._bucket)  # type: ignore[attr-defined]
    assert [upload["Key"] for upload in left["Uploads"]] == ["runner/data/c"]


def test_disks_have_no_uploads(tmp_path: Any) -> None:
    assert list(open_store(str(tmp_path)).abort_uploads(min_age=0)) == []
