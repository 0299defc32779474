"""The S3 requests that fsspec's own methods do not make safely: creation, puts, copies, deletion, listings.

`fs` is an s3fs.S3FileSystem; errors are those that it or botocore raise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, cast

from ray_jobs.errors import StorageError, StoreAway
from ray_jobs.storage.answers import response_code

_TIMEOUTS: dict[str, Any] = {"connect_timeout": 10, "read_timeout": 60}
# botocore's "standard" mode: 5xx, throttling and lost connections, with jittered exponential backoff
_RETRIES = {"total_max_attempts": 6, "mode": "standard"}
_NO_RETRIES = {"total_max_attempts": 1, "mode": "standard"}
DELETE_LIMIT = 1000
"""Keys in one DeleteObjects request, the limit of the S3 API."""
_CONFLICT_TRIES = 5
# Codes of single keys that no later try changes. A key's error has no status, and stores have codes of their own: one
# that is not here is tried again.
_REFUSALS = {
    "400",
    "401",
    "403",
    "405",
    "501",
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AccessForbidden",
    "Forbidden",
    "InvalidArgument",
    "InvalidObjectState",
    "InvalidRequest",
    "KeyTooLongError",
    "MalformedXML",
    "MethodNotAllowed",
    "NoSuchBucket",
    "NotImplemented",
    "ObjectLocked",
    "UnauthorizedAccess",
    "UserKeyMustBeSpecified",
}
_AIO_SETTINGS = {"connector_args", "http_session_cls", "warm_up_loader_caches"}  # of aiobotocore's Config alone


def client_options(options: Mapping[str, Any], retry_seconds: float) -> dict[str, Any]:
    """The options of an s3fs.S3FileSystem: `options`, with our timeouts and retries where they say nothing of these.

    A store that has `retry_seconds` makes all tries itself; botocore pays no heed to Retry-After.
    """
    retries = _NO_RETRIES if retry_seconds else _RETRIES
    return {**options, "config_kwargs": {**_TIMEOUTS, "retries": retries, **options.get("config_kwargs", {})}}


def share_data(fs: Any) -> None:
    """Let the client of `fs` use what this process has read already of botocore's description of S3."""
    from aiobotocore.session import AioSession

    if fs.session is None and not fs.kwargs:
        fs.session = _informed(AioSession())


def _informed(session: Any) -> Any:
    session.register_component("data_loader", _data(session.get_config_variable("data_path")))
    return session


@cache
def _data(folders: str | None) -> Any:
    """Kept for each client there will be: to read and parse it takes a tenth of a second of a core."""
    from botocore.loaders import create_loader

    return create_loader(folders)


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
    return _informed(Session(**fs.kwargs)).create_client("s3", config=Config(**settings), **options)


def delete_objects(fs: Any, bucket: str, keys: list[str]) -> None:
    """Remove objects, at most DELETE_LIMIT, with one request, and take from `keys` those that are gone or never were.

    Raises StoreAway where the store could not remove some now, so that the same call tries the rest; StorageError
    naming the key where it refuses to. The bulk deletion of s3fs passes over refused keys in silence.
    """
    objects = [{"Key": key} for key in keys]
    answer = fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    errors = {error.get("Key", ""): error for error in answer.get("Errors", []) if error.get("Code") != "NoSuchKey"}
    for key, error in errors.items():
        if error.get("Code", "") in _REFUSALS:
            raise StorageError(_refusal(bucket, key, error))
    keys[:] = [key for key in keys if key in errors]
    if errors:
        raise StoreAway(_refusal(bucket, *next(iter(errors.items()))))


def _refusal(bucket: str, key: str, error: Mapping[str, str]) -> str:
    said = f"{error.get('Code', 'no code')} {error.get('Message', '')}".rstrip()
    return f"s3://{bucket}/{key}: cannot delete: {said}"


def list_page(fs: Any, bucket: str, prefix: str, token: str | None, delimiter: str = "") -> Mapping[str, Any]:
    """A page of at most a thousand keys that begin with `prefix`; `token` is the last page's NextContinuationToken.

    s3fs' own listing loses keys with an empty name in them (`a//b`).
    """
    more = {"ContinuationToken": token} if token else {}
    return cast(
        Mapping[str, Any], fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, Delimiter=delimiter, **more)
    )


def first_keys(fs: Any, bucket: str, prefix: str, count: int) -> list[str]:
    """The first `count` names directly below the folder `prefix` ("" for the bucket's root), with one request.

    A name may be empty: some tools make an object of the folder's own name.
    """
    below = f"{prefix}/" if prefix else ""
    page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=below, Delimiter="/", MaxKeys=count)
    files = [item["Key"] for item in page.get("Contents", [])]
    folders = [item["Prefix"].rstrip("/") for item in page.get("CommonPrefixes", [])]
    return [key.removeprefix(below) for key in (*files, *folders)]


def begun_uploads(fs: Any, bucket: str, prefix: str, min_age: float) -> Iterator[tuple[str, str]]:
    """Key and id of each multi-part upload below `prefix` that began `min_age` seconds ago, by the store's clock."""
    marker: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marker)
        now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
        for upload in page.get("Uploads", []):
            # some stores pass over the prefix
            if upload["Key"].startswith(prefix) and (now - upload["Initiated"]).total_seconds() >= min_age:
                yield upload["Key"], upload["UploadId"]
        if not page.get("IsTruncated"):
            return
        marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def abort_upload(fs: Any, bucket: str, key: str, upload: str) -> None:
    """Give up one multi-part upload; one that is gone is none."""
    # NoSuchUpload
    with suppress(FileNotFoundError):
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)
