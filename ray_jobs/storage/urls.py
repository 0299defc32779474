"""How URLs and paths are taken apart, without asking anybody."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

_GLOB = re.compile(r"[*?\[]")
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_WRAPPERS = {"blockcache", "cached", "dir", "filecache", "libarchive", "reference", "simplecache", "tar", "zip"}


def split_glob(url: str) -> tuple[str, str]:
    """Split a URL or path into the folder above its first wildcard and the pattern below it.

    The pattern is empty where there is no wildcard: "s3://b/x/*.json" -> ("s3://b/x", "*.json"). In an http(s) URL a
    "?" begins a query, and one with a query names one file.
    """
    if _HTTP.match(url) and "?" in url:
        return url, ""
    found = _GLOB.search(url)
    if found is None:
        return url, ""
    folder, slash, _ = url[: found.start()].rpartition("/")
    return folder or slash or ".", url[len(folder) + len(slash) :]


def file_name(url: str) -> str:
    """The last name in a URL or path, without the query of an http(s) URL."""
    return posixpath.basename(url.partition("?")[0] if _HTTP.match(url) else url)


def is_wrapped(url: str) -> bool:
    """Whether `url` names a file system of fsspec that works on another one, as zip://a.csv::s3://b/x.zip does."""
    first, colons, _ = url.partition("::")
    return bool(colons) and first.partition("://")[0] in _WRAPPERS


def options_for(place: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with which to open a place: `options` behind a URL, none on local disk, which they are not for."""
    return options if "://" in place else {}


def joined(url: str, path: str) -> str:
    """The URL of what is at `path` below `url`."""
    return f"{url.rstrip('/')}/{path}" if path else url
