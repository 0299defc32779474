"""What users are told of an error that a task raised, after Ray Data has had it in its hands."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

import pytest
from ray.data._internal.util import iterate_with_retry
from ray.exceptions import RayTaskError

from ray_jobs.errors import EngineRefuses, LeaseLost, PoolError, StorageError, StoreAway
from ray_jobs.runner.ray_errors import job_error


def through_ray_data(error: Exception) -> RayTaskError:
    """As it comes to the driver: with Ray Data's advice at the end of its message."""

    def task() -> Iterable[None]:
        raise error

    with pytest.raises(type(error), match=r"configure `ray.data.DataContext") as annotated:
        list(iterate_with_retry(task, "apply UDF transform", match=[], unwrap_cause=True))
    text = "".join(traceback.format_exception(annotated.value))
    return RayTaskError("Write", text, annotated.value)


@pytest.mark.parametrize("kind", [StorageError, StoreAway, LeaseLost])
def test_an_error_of_ours_keeps_its_kind_and_says_what_failed_and_nothing_else(kind: type[Exception]) -> None:
    told = job_error(through_ray_data(kind("s3://b/run/data/x.parquet: cannot write: permission denied")))
    assert type(told) is kind
    assert str(told) == "s3://b/run/data/x.parquet: cannot write: permission denied"


def test_an_error_of_a_library_is_one_line_of_the_pool() -> None:
    told = job_error(through_ray_data(ValueError("Unrecognized model in\n /models/x")))
    assert type(told) is PoolError
    assert str(told) == "ValueError: Unrecognized model in /models/x"


def test_what_an_engine_refuses_is_read_from_the_text_that_ray_leaves_of_it() -> None:
    text = "Traceback:\nray_jobs.errors.EngineRefuses: top_k: the server refuses it\n\nUserCodeException: UDF failed"
    told = job_error(RayTaskError("evolve_a", text, ValueError("UDF failed")))
    assert type(told) is EngineRefuses
    assert (str(told), told.exit_code) == ("top_k: the server refuses it", 2)


def test_words_like_it_in_a_message_of_ours_stay() -> None:
    text = "s3://b/x: cannot write: Failed to flush"
    assert str(job_error(through_ray_data(StorageError(text)))) == text
