"""Running out of memory as an outcome that can be looked at instead of an end."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def unless_out_of_memory(work: Callable[[], Result]) -> Result | None:
    """What `work` gives, or None if memory ran out in it, on the host or on the device. Other errors are raised."""
    try:
        return work()
    except MemoryError:
        pass
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
    # Behind the handlers, whose traceback still holds the failed pass's tensors.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None
