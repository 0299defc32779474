from __future__ import annotations

import pytest

from ray_jobs.mask_url import mask_url


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://me:hunter2@host:9000/b/a: cannot read", "https://me:***@host:9000/b/a: cannot read"),
        ("s3://KEY:hunter2@bucket/run", "s3://KEY:***@bucket/run"),
        ("https://:hunter2@host/x", "https://:***@host/x"),
        ("https://me:hunt@er2@host/x", "https://me:***@host/x"),
        ("http://hunter2@host/x", "http://***@host/x"),
        ("https://h/a?X-Amz-Signature=hunter2&n=1", "https://h/a?X-Amz-Signature=***&n=1"),
        ("https://h/a?n=1&sig=hunter2: cannot read: gone", "https://h/a?n=1&sig=***: cannot read: gone"),
        ("(https://h/a?sv=2&SIG=hunt%2Fer2)", "(https://h/a?sv=2&SIG=***)"),
        ("https://h/a?X-Goog-Credential=hunter2, or", "https://h/a?X-Goog-Credential=***, or"),
        ("see 'https://h/a?access_token=hunter2'", "see 'https://h/a?access_token=***'"),
        ("https://h/a?api_key=hunter2#part", "https://h/a?api_key=***#part"),
        ("two: http://a:hunter2@h/ http://b:hunter2@h/", "two: http://a:***@h/ http://b:***@h/"),
        ("ftp://me:hunter2@h/x and https://h/?token=hunter2", "ftp://me:***@h/x and https://h/?token=***"),
    ],
)
def test_masks_what_is_secret_in_urls(text: str, masked: str) -> None:
    assert "hunter2" not in mask_url(text)
    assert mask_url(text) == masked
    assert mask_url(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "/home/me/out: cannot read",
        "s3://bucket/run/a=1/part: gone",
        "abfs://container@account.dfs.core.windows.net/run",
        "http://127.0.0.1:8265/api: refused",
        "https://h/a.jsonl?download=true&monkey=1",
        "a line with mail@host and key=value",
        "s3://bucket/me@home/x: 10:30 at a@b",
    ],
)
def test_leaves_the_rest(text: str) -> None:
    assert mask_url(text) == text
