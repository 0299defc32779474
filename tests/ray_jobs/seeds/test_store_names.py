"""Names that clients of stores take for something else: empty ones, queries, wildcards, chains of URLs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.errors import JobError, SeedError, StorageError, StoreAway
from ray_jobs.seeds.files import find_files
from ray_jobs.storage.store import open_store
from ray_jobs.storage.urls import file_name, is_wrapped, split_glob
from tests.http_servers import http_server

S3Options = dict[str, Any]
KEYS = ["lead//a.jsonl", "pre/x//b.jsonl", "pre/x/c.jsonl", "/d.jsonl", "pre/x//", "pre//y/e.jsonl"]


@pytest.fixture
def slashed(s3_url: str, s3_options: S3Options) -> str:
    """A bucket whose keys hold empty names."""
    store = open_store(s3_url, s3_options)
    for key in KEYS:
        store._fs.call_s3("put_object", Bucket=s3_url.removeprefix("s3://"), Key=key, Body=b'{"instruction": "1"}\n')
    return s3_url


def test_lists_and_reads_keys_with_empty_names(slashed: str, s3_options: S3Options) -> None:
    store = open_store(slashed, s3_options)
    assert [path for path, _ in store.list()] == sorted(key for key in KEYS if not key.endswith("/"))
    lead = open_store(f"{slashed}/lead", s3_options)
    assert [path for path, _ in lead.list()] == ["/a.jsonl"]
    for place, path in ((store, "lead//a.jsonl"), (store, "/d.jsonl"), (lead, "/a.jsonl")):
        assert place.read_bytes(path).startswith(b"{")
        assert place.size(path) == 21
        with place.open_input(path) as file:
            assert file.read(1) == b"{"
    assert lead.url_of("/a.jsonl") == f"{slashed}/lead//a.jsonl"
    assert open_store(f"{slashed}//d.jsonl", s3_options).size("") == 21
    assert store.below("lead").list() == [("/a.jsonl", 21)]
    assert store.names() == ["/", "lead", "pre"]
    store.delete(["lead//a.jsonl"])
    assert list(lead.list()) == []


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("lead", ["lead//a.jsonl"]),
        ("lead/**/*.jsonl", ["lead//a.jsonl"]),
        ("pre", ["pre//y/e.jsonl", "pre/x//b.jsonl", "pre/x/c.jsonl"]),
        ("pre/**/*.jsonl", ["pre//y/e.jsonl", "pre/x//b.jsonl", "pre/x/c.jsonl"]),
        ("pre/x/*.jsonl", ["pre/x/c.jsonl"]),
        ("/d.jsonl", ["/d.jsonl"]),
    ],
)
def test_finds_seeds_below_empty_names(slashed: str, s3_options: S3Options, path: str, found: list[str]) -> None:
    urls = [file.url for file in find_files([f"{slashed}/{path}"], "auto", s3_options).files.values()]
    assert urls == [f"{slashed}/{key}" for key in found]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server that shows `tmp_path`."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http_server(partial(Quiet, directory=str(tmp_path))) as server:
        yield f"http://127.0.0.1:{server.server_port}"


def test_a_question_mark_begins_a_query(served: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "1"}\n')
    (file,) = find_files([f"{served}/seeds.jsonl?download=true&token=hunter2"], "auto", {}).files.values()
    assert (file.format, file.size) == ("jsonl", 21)
    assert "hunter2" not in file.url
    with file.open() as opened:
        assert opened.read().startswith(b'{"instruction"')


def test_a_listing_without_sizes_is_an_error(served: str, tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "1"}\n')
    with pytest.raises(StorageError, match=r"seeds.jsonl.*how large"):
        find_files([f"{served}/*.jsonl"], "auto", {})


class Refusing(BaseHTTPRequestHandler):
    """Answers every request with the status that its path begins with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of such a server."""
    with http_server(Refusing) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("path", "error", "told"),
    [
        ("404/s.jsonl", SeedError, r"404/s\.jsonl: no file of seeds there.*404"),
        ("403/s.jsonl", StorageError, r"403/s\.jsonl: cannot list: 403 Forbidden$"),
        ("401/s.jsonl", StorageError, r"401/s\.jsonl: cannot list: 401 Unauthorized$"),
        ("500/s.jsonl", StoreAway, r"500/s\.jsonl: cannot list: 500 Internal Server Error$"),
    ],
)
def test_what_a_web_server_refuses_is_told_with_its_url(
    refusing: str, path: str, error: type[JobError], told: str
) -> None:
    with pytest.raises(error, match=told):
        find_files([f"{refusing}/{path}"], "auto", {})


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/s.jsonl", "http://no.such.host.invalid/s.jsonl"])
def test_a_web_server_that_nobody_is_at_does_not_answer(place: str) -> None:
    with pytest.raises(StoreAway, match=f"{place}: .* does not answer"):
        find_files([place], "auto", {})


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_brackets_of_a_name_that_exists(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    options = request.getfixturevalue("s3_options") if kind == "s3" else {}
    root = request.getfixturevalue("s3_url") if kind == "s3" else str(tmp_path)
    store = open_store(root, options)
    for path in ("se*ds.jsonl", "seXds.jsonl", "seeds [v2].jsonl", "run[1]/s.jsonl", "seed1.jsonl", "run[1]/t.jsonl"):
        store.write_bytes(path, b'{"instruction": "1"}\n')

    def found(path: str) -> list[str]:
        return [
            file.url.removeprefix(f"{root}/") for file in find_files([f"{root}/{path}"], "auto", options).files.values()
        ]

    assert found("se*ds.jsonl") == ["se*ds.jsonl"]
    assert found("seeds [v2].jsonl") == ["seeds [v2].jsonl"]
    assert found("run[1]/s.jsonl") == ["run[1]/s.jsonl"]
    assert found("run[1]") == ["run[1]/s.jsonl", "run[1]/t.jsonl"]
    assert found("seed[0-9].jsonl") == ["seed1.jsonl"]
    # a disk tells whether a folder of that name is there, a store has none
    if kind == "local":
        assert found("run[1]/*.jsonl") == ["run[1]/s.jsonl", "run[1]/t.jsonl"]
    else:
        with pytest.raises(SeedError, match="no file of seeds there"):
            found("run[1]/*.jsonl")


def test_colons_are_part_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a::b.jsonl").write_text('{"instruction": "1"}\n')
    (file,) = find_files(["a::b.jsonl"], "auto", {}).files.values()
    assert file.size == 21
    open_store("out::1").write_bytes("data/a::b", b"1")
    assert (tmp_path / "out::1" / "data" / "a::b").read_bytes() == b"1"
    assert open_store("out::1").url == str(tmp_path / "out::1")
    assert open_store(str(tmp_path / "out::1")).list() == [("data/a::b", 1)]


def test_colons_are_part_of_a_key(s3_url: str, s3_options: S3Options) -> None:
    store = open_store(f"{s3_url}/a::b", s3_options)
    store.write_bytes("c::d", b"1")
    assert open_store(s3_url, s3_options).list() == [("a::b/c::d", 1)]
    assert open_store(f"{s3_url}/a::b/c::d", s3_options).read_bytes("") == b"1"


@pytest.mark.parametrize(
    ("url", "wrapped"),
    [
        ("zip://a.csv::s3://b/x.zip", True),
        ("simplecache::s3://b/x", True),
        ("zip::x.zip", True),
        ("a::b.jsonl", False),
        ("s3://b/a::b", False),
        ("/a/zip::b", False),
        ("s3://b/x", False),
    ],
)
def test_is_wrapped(url: str, wrapped: bool) -> None:
    assert is_wrapped(url) is wrapped


@pytest.mark.parametrize(
    ("url", "parts", "name"),
    [
        ("https://h/x/a.jsonl?download=true", ("https://h/x/a.jsonl?download=true", ""), "a.jsonl"),
        ("https://h/x/*.jsonl", ("https://h/x", "*.jsonl"), "*.jsonl"),
        ("s3://b/a?.jsonl", ("s3://b", "a?.jsonl"), "a?.jsonl"),
        ("a?.jsonl", (".", "a?.jsonl"), "a?.jsonl"),
    ],
)
def test_queries_belong_to_http(url: str, parts: tuple[str, str], name: str) -> None:
    assert split_glob(url) == parts
    assert file_name(url) == name
