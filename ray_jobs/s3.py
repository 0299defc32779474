"""The S3 requests that fsspec does not make safely or cheaply: creation, a single put, a copy, deletion, a first look.

`fs` is an s3fs.S3FileSystem; errors are those that it or botocore raise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from ray_jobs.errors import StorageError
from ray_jobs.storage_errors import response_code

_DELETE_LIMIT = 1000  # keys in one DeleteObjects request, the limit of the S3 API
_CONFLICT_TRIES = 5
_AIO_SETTINGS = {"connector_args", "http_session_cls", "warm_up_loader_caches"}  # of aiobotocore's Config alone


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


def copy_object(fs: Any, bucket: str, source: str, target: str) -> bool:
    """Copy an object inside the server with one request, up to 5 GB; False where there is no `source`."""
    try:
        fs.call_s3("copy_object", Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": source})
    except OSError as error:
        if response_code(error) != "NoSuchKey":
            raise
        return False
    return True


class SinglePuts:
    """Puts that nothing repeats, through a client with the settings of `fs`. Safe to use from threads.

    Not through `fs` itself: aiohttp beneath it sends a PUT again whenever its connection is lost, which no setting
    turns off. botocore's own client does not.
    """

    def __init__(self, fs: Any) -> None:
        self._fs, self._lock, self._client = fs, threading.Lock(), None

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Send the whole object in one PutObject. Raises where it was refused or its answer did not come."""
        client = self._connected()
        known = client.meta.service_model.operation_model("PutObject").input_shape.members
        extra = {k: v for k, v in {**self._fs.s3_additional_kwargs, **self._fs.req_kw}.items() if k in known}
        client.put_object(**extra, Bucket=bucket, Key=key, Body=data)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _single_client(self._fs)
            return self._client


def _single_client(fs: Any) -> Any:
    """A botocore client with the settings that s3fs gives to its own, except retries."""
    # the clients of S3 are installed only where S3 is used
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.session import Session

    settings = {key: value for key, value in fs.config_kwargs.items() if key not in _AIO_SETTINGS}
    settings["retries"] = {"total_max_attempts": 1, "mode": "standard"}
    options = {
        "aws_access_key_id": fs.key,
        "aws_secret_access_key": fs.secret,
        "aws_session_token": fs.token,
        "endpoint_url": fs.endpoint_url,
        "use_ssl": fs.use_ssl,
        **fs.client_kwargs,
    }
    if fs.anon:
        settings["signature_version"] = UNSIGNED
        options = {key: value for key, value in options.items() if not key.startswith("aws_")}
    return Session(**fs.kwargs).create_client("s3", config=Config(**settings), **options)


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
