"""A store in a bucket, or in a part of one, behind the S3 API."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ray_jobs.storage import s3
from ray_jobs.storage.retries import CLOCK, Clock
from ray_jobs.storage.store import UPLOAD_AGE, Store


class S3Store(Store):
    """The objects whose keys begin with a prefix."""

    def __init__(
        self,
        fs: Any,
        url: str,
        root: str,
        options: Mapping[str, Any],
        retry_seconds: float,
        clock: Clock = CLOCK,
    ) -> None:
        super().__init__(fs, url, root, options, retry_seconds, clock)
        self._single = s3.SinglePuts(fs)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files, a thousand a request. Those that are already gone do no harm."""
        keys = [self._key(self._path(path)) for path in paths]
        for start in range(0, len(keys), s3.DELETE_LIMIT):
            batch = keys[start : start + s3.DELETE_LIMIT]
            self._retry("delete", "", partial(s3.delete_objects, self._fs, self._bucket, batch))

    def abort_uploads(self, folder: str = "", min_age: float = UPLOAD_AGE) -> Sequence[str]:
        """See Store.abort_uploads. Wants `s3:ListBucketMultipartUploads` and `s3:AbortMultipartUpload`."""
        prefix = self._prefix(self._path(folder))
        found = self._retry(
            "list uploads", folder, lambda: list(s3.begun_uploads(self._fs, self._bucket, prefix, min_age))
        )
        root = self._prefix(self._root)
        for key, upload in found:
            abort = partial(s3.abort_upload, self._fs, self._bucket, key, upload)
            self._retry("abort an upload", key.removeprefix(root), abort)
        return [key.removeprefix(root) for key, _ in found]

    def first_names(self, count: int) -> Sequence[str]:
        """The names on the first page of a listing."""
        prefix = self._key(self._root)
        keys = self._retry("list", "", lambda: s3.first_keys(self._fs, self._bucket, prefix, count))
        return sorted(keys)

    def _find(self, path: str, depth: int | None) -> dict[str, Any]:
        if depth is not None:
            return super()._find(path, depth)
        # one flat listing of the prefix costs fewer requests than one a folder
        return {info["name"]: info for info in self._listed(path, "")}

    def _children(self, folder: str) -> Sequence[dict[str, Any]]:
        return list(self._listed(folder, "/"))

    def _listed(self, folder: str, delimiter: str) -> Iterator[dict[str, Any]]:
        """What is below a folder, as fsspec says it; each page is waited for by itself."""
        prefix, token = self._prefix(folder), None
        while True:
            ask = partial(s3.list_page, self._fs, self._bucket, prefix, token, delimiter)
            page = self._retry("list", "", ask)
            for shared in page.get("CommonPrefixes", []):
                yield {"name": f"{self._bucket}/{shared['Prefix'][:-1]}", "type": "directory", "size": 0}
            for found in page.get("Contents", []):
                # a key that ends in "/" is what some programs make for a folder
                if not found["Key"].endswith("/"):
                    name = f"{self._bucket}/{found['Key']}"
                    yield {**found, "name": name, "type": "file", "size": found["Size"]}
            if not page.get("IsTruncated"):
                return
            token = page["NextContinuationToken"]

    def _create(self, path: str, data: bytes, token: str) -> bool:
        return s3.create_object(self._fs, self._bucket, self._key(path), data, token)

    def _put_once(self, path: str, data: bytes) -> None:
        self._single.put(self._bucket, self._key(path), data)

    def _publish(self, source: str, target: str) -> bool:
        return s3.copy_object(self._fs, self._bucket, self._key(source), self._key(target))

    @property
    def _bucket(self) -> str:
        return self._root.partition("/")[0]

    def _prefix(self, folder: str) -> str:
        key = self._key(folder)
        return f"{key}/" if key else ""

    def _key(self, path: str) -> str:
        return path.partition("/")[2]
