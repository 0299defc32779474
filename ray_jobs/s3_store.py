"""A store in a bucket, or in a part of one, behind the S3 API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from ray_jobs import s3
from ray_jobs.storage import Store


class S3Store(Store):
    """The objects whose keys begin with a prefix."""

    def __init__(self, fs: Any, url: str, root: str, options: Mapping[str, Any], patience: float) -> None:
        super().__init__(fs, url, root, options, patience)
        self._single = s3.SinglePuts(fs)

    def delete(self, paths: Iterable[str]) -> None:
        """Remove files, a thousand a request. Those that are already gone do no harm."""
        keys = [self._key(self._path(path)) for path in paths]
        self._persist("delete", "", lambda: s3.delete_objects(self._fs, self._bucket, keys))

    def first_names(self, count: int) -> Sequence[str]:
        """The names on the first page of a listing."""
        prefix = self._key(self._root)
        keys = self._persist("list", "", lambda: s3.first_keys(self._fs, self._bucket, prefix, count))
        return sorted(keys)

    def _find(self, path: str, depth: int | None) -> dict[str, Any]:
        if depth is not None:
            return super()._find(path, depth)
        # one flat listing of the prefix costs fewer requests than one a folder
        return cast(dict[str, Any], self._fs.find(path, detail=True))

    def _create(self, path: str, data: bytes, token: str) -> bool:
        return s3.create_object(self._fs, self._bucket, self._key(path), data, token)

    def _put_once(self, path: str, data: bytes) -> None:
        self._single.put(self._bucket, self._key(path), data)

    def _publish(self, source: str, target: str) -> bool:
        return s3.copy_object(self._fs, self._bucket, self._key(source), self._key(target))

    @property
    def _bucket(self) -> str:
        return self._root.partition("/")[0]

    def _key(self, path: str) -> str:
        return path.partition("/")[2]
