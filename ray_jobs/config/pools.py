"""How large an actor pool is, and on what hardware its actors run."""

from __future__ import annotations

from functools import cached_property
from typing import Self

from pydantic import Field, JsonValue, field_validator, model_validator

from ray_jobs.config.base import Strict
from ray_jobs.config.engine_kinds import PLACEMENT


class Share(Strict):
    """What one actor has of its machine.

    `gpus` and `cpus` are Ray's logical resources; with tensor parallelism `gpus` is the number of cards. `price` is
    what an hour of one actor costs, its share of the machine included, in whatever money.
    """

    gpus: float = Field(0, ge=0)
    cpus: float = Field(1, ge=0)
    resources: dict[str, float] = Field(default_factory=dict)
    accelerator_type: str | None = None
    price: float = Field(0, ge=0)


class Hardware(Share):
    """What one actor has: of one machine, or of up to `nodes`; then vLLM spreads the engine with Ray."""

    nodes: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _parts_are_whole(self) -> Self:
        if self.nodes > 1 and (self.gpus % 1 or 0 < self.gpus < self.nodes):
            raise ValueError(f"gpus: expected a whole number of cards, one a node or more, for nodes {self.nodes}")
        if self.nodes > 1 and self.resources:
            raise ValueError("resources: they are of one machine, and cannot be spread over nodes")
        return self

    @property
    def asked_for(self) -> dict[str, float]:
        """The logical resources of an actor on one machine, without those that it asks nothing of."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        if self.accelerator_type:
            # a node has one, of which Ray lets each actor take a thousandth
            wanted[f"accelerator_type:{self.accelerator_type}"] = 0.001
        return {item: amount for item, amount in wanted.items() if amount}

    @property
    def parts(self) -> list[dict[str, float]]:
        """What an actor asks for, in parts that lie on one machine each: over several, a card, as vLLM wants them."""
        if self.nodes == 1:
            return [self.asked_for]
        parts = int(self.gpus) or self.nodes
        share = {"CPU": self.cpus / parts, **({"GPU": 1.0} if self.gpus else {})}
        kinds = {item: amount for item, amount in self.asked_for.items() if item not in ("CPU", "GPU")}
        return [share | kinds for _ in range(parts)]


class Sized(Hardware):
    """So many actors: a fixed `size`, or `min_size` to `max_size`."""

    size: int | None = Field(None, ge=1)
    min_size: int | None = Field(None, ge=0)
    max_size: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _one_way_to_size(self) -> Self:
        if self.size is not None and (self.min_size is not None or self.max_size is not None):
            raise ValueError("give size, or min_size and max_size, not both")
        if self.own_bounds[0] > self.own_bounds[1]:
            raise ValueError(f"min_size {self.own_bounds[0]} is above max_size {self.own_bounds[1]}")
        return self

    @property
    def own_bounds(self) -> tuple[int, int]:
        """The least and the greatest number of actors on this hardware."""
        if self.size is not None:
            return self.size, self.size
        minimum = 1 if self.min_size is None else self.min_size
        return minimum, max(minimum, 1) if self.max_size is None else self.max_size


class VariantConfig(Sized):
    """Actors of a pool on hardware of one kind. `arguments` are vLLM's that say where and how fast, not what."""

    arguments: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("arguments")
    @classmethod
    def _say_where_alone(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in arguments:
            if name not in PLACEMENT:
                known = ", ".join(sorted(map(str, PLACEMENT)))
                raise ValueError(f"{name}: expected an argument that changes no reply, one of {known}")
        return arguments


class PoolConfig(Sized):
    """An actor pool: a fixed `size`, or `min_size` to `max_size` actors.

    `gpus` and `cpus` are Ray's logical resources an actor; with tensor parallelism `gpus` is the number of cards, on up
    to `nodes` machines. Actors on unlike hardware are `variants`, each with sizes of its own, those first that come
    first. `batch_rows` rows travel together (fewer where a run is small for its pools), `batches_in_flight` of such
    blocks run at once in an actor: their product should exceed what the engine batches, or it idles between blocks.
    `price` is what an hour of one actor costs, its share of the machine included, in whatever money.
    """

    min_size: int | None = Field(None, ge=1)
    batch_rows: int = Field(256, ge=1)
    batches_in_flight: int = Field(4, ge=1)
    variants: tuple[VariantConfig, ...] = ()

    @model_validator(mode="after")
    def _variants_say_all(self) -> Self:
        beside = (self.model_fields_set & Sized.model_fields.keys()) if self.variants else set()
        if beside:
            raise ValueError(f"{', '.join(sorted(beside))}: each of the variants says so, the pool beside them cannot")
        if self.variants and not self.bounds[0]:
            raise ValueError("variants: expected a min_size or size of 1 or more for one of them")
        return self

    @cached_property
    def shapes(self) -> tuple[VariantConfig, ...]:
        """The kinds of hardware that actors run on, with how many there are of each."""
        if self.variants:
            return self.variants
        said = {name: getattr(self, name) for name in Sized.model_fields}
        return (VariantConfig.model_construct(**said, arguments={}),)

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest number of actors."""
        least, most = zip(*(shape.own_bounds for shape in self.shapes), strict=True)
        return sum(least), sum(most)

    @property
    def gpus_an_actor(self) -> float:
        """Its cards, or their mean at the greatest size where actors have unlike hardware."""
        return self.most_gpus / self.bounds[1]

    @property
    def most_gpus(self) -> float:
        """The cards of all actors at the greatest size."""
        return sum(shape.own_bounds[1] * shape.gpus for shape in self.shapes)

    @property
    def most_price(self) -> float:
        """What an hour of all actors costs at the greatest size."""
        return sum(shape.own_bounds[1] * shape.price for shape in self.shapes)
