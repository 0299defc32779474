"""How large an actor pool is, and what an actor of it asks for."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ray_jobs.config.base import Strict


class PoolConfig(Strict):
    """An actor pool: a fixed `size`, or `min_size` to `max_size` actors.

    `gpus` and `cpus` are Ray's logical resources an actor; with tensor parallelism `gpus` is the number of cards.
    `batch_rows` rows travel together (fewer where a run is small for its pools), `batches_in_flight` of such blocks run
    at once in an actor: their product should exceed what the engine batches, or it idles between blocks. `price` is
    what an hour of one actor costs, its share of the machine included, in whatever money.
    """

    size: int | None = Field(None, ge=1)
    min_size: int | None = Field(None, ge=1)
    max_size: int | None = Field(None, ge=1)
    gpus: float = Field(0, ge=0)
    cpus: float = Field(1, ge=0)
    batch_rows: int = Field(256, ge=1)
    batches_in_flight: int = Field(4, ge=1)
    resources: dict[str, float] = Field(default_factory=dict)
    accelerator_type: str | None = None
    price: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_way_to_size(self) -> Self:
        if self.size is not None and (self.min_size is not None or self.max_size is not None):
            raise ValueError("give size, or min_size and max_size, not both")
        if self.bounds[0] > self.bounds[1]:
            raise ValueError(f"min_size {self.bounds[0]} is above max_size {self.bounds[1]}")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number of actors."""
        if self.size is not None:
            return self.size, self.size
        minimum = 1 if self.min_size is None else self.min_size
        return minimum, minimum if self.max_size is None else self.max_size
