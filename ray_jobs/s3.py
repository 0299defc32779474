"""The S3 requests that fsspec does not make safely or cheaply: conditional creation, bulk deletion, a first look.

`fs` is an s3fs.S3FileSystem; errors are those that it raises.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ray_jobs.errors import StorageError
from ray_jobs.storage_errors import response_code

_DELETE_LIMIT = 1000  # keys in one DeleteObjects request, the limit of the S3 API
_CONFLICT_TRIES = 5


def create_object(fs: Any, bucket: str, key: str, data: bytes, token: str) -> bool:
    """Put an object unless the key exists (`If-None-Match: *`); whether this call created it.

    A request whose answer was lost is sent again and then meets its own object, which it knows by `token`: a text
    that no other caller uses.
    """
    put = {"Bucket": bucket, "Key": key, "Body": data, "IfNoneMatch": "*", "Metadata": {"creation": token}}
    for attempt in range(_CONFLICT_TRIES):
        try:
            fs.call_s3("put_object", **put)
        except OSError as error:
            code = response_code(error)
            if code in ("PreconditionFailed", "412"):
                return _creation(fs, bucket, key) == token
            # S3 answers so while the key is being written or removed elsewhere, and asks for another try
            if code != "ConditionalRequestConflict" or attempt == _CONFLICT_TRIES - 1:
                raise
            time.sleep(0.1 * 2**attempt)
        else:
            return True
    raise AssertionError("the last try returns or raises")


def _creation(fs: Any, bucket: str, key: str) -> str:
    head = fs.call_s3("head_object", Bucket=bucket, Key=key)
    return str(head.get("Metadata", {}).get("creation", ""))


def first_keys(fs: Any, bucket: str, prefix: str, count: int) -> list[str]:
    """The first `count` names directly below the folder `prefix` ("" for the bucket's root), with one request.

    A name may be empty: some tools make an object of the folder's own name.
    """
    below = f"{prefix}/" if prefix else ""
    page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=below, Delimiter="/", MaxKeys=count)
    files = [one["Key"] for one in page.get("Contents", [])]
    folders = [one["Prefix"].rstrip("/") for one in page.get("CommonPrefixes", [])]
    return [key.removeprefix(below) for key in (*files, *folders)]


def delete_objects(fs: Any, bucket: str, keys: Sequence[str]) -> None:
    """Remove objects, a thousand a request; missing ones are fine. Raises on the first key that is refused.

    The bulk deletion of s3fs passes over refused keys in silence.
    """
    for start in range(0, len(keys), _DELETE_LIMIT):
        objects = [{"Key": key} for key in keys[start : start + _DELETE_LIMIT]]
        answer = fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for error in answer.get("Errors", []):
            raise StorageError(f"s3://{bucket}/{error['Key']}: cannot delete: {error['Code']} {error['Message']}")
