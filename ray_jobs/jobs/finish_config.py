"""What a run does at its end: analyses, selections and the report, by configuration."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ray_jobs.config.base import HARMLESS, Kind, Strict
from ray_jobs.config.kinds import STEPS
from ray_jobs.config.run import RunConfig
from ray_jobs.config.secrets import Address, Webhook
from ray_jobs.datasets.rule import Rule, make_rule, parse_range
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.config import AutoIFConfig


class SelectConfig(Kind):
    """A selection, with the options of `evolve select` under their names. `target` is a folder or any fsspec URL."""

    kind: Literal["select"]
    target: Address
    by: str | None = None
    top: str | int | None = None
    random: str | int | None = None
    seed: int | None = None
    range: str | None = None
    order: Literal["highest", "lowest"] | None = None
    per: tuple[Literal["evolver", "round", "operator"], ...] = ()
    drop_ifd_above: float | None = None
    drop_cut: bool = False
    near_duplicates: bool = False
    similarity: float = Field(0.7, ge=0.5, le=1)
    decontaminate: Address | None = None
    ngram: int = Field(13, ge=5)

    @model_validator(mode="after")
    def _makes_a_rule(self) -> Self:
        try:
            self.rule()
        except ConfigError as error:
            raise ValueError(str(error).replace("--", "")) from None
        return self

    def rule(self) -> Rule:
        """The rule. Raises ConfigError."""
        return make_rule(
            self.by,
            None if self.top is None else str(self.top),
            None if self.random is None else str(self.random),
            self.seed,
            range=None if self.range is None else parse_range(self.range),
            order=self.order,
            per=self.per,
            drop_ifd_above=self.drop_ifd_above,
            drop_cut=self.drop_cut,
            near_duplicates=self.similarity if self.near_duplicates else None,
            ngram=self.ngram if self.decontaminate else None,
        )


class ReportConfig(Kind):
    """The page of the output, in its folder `report`, with the options of `evolve report` under their names."""

    kind: Literal["report"]
    baseline: str | None = None
    gpu_hour_price: float | None = Field(None, ge=0)
    token_price: tuple[str, ...] = ()


StepConfig = Annotated[Kind, STEPS]
"""A field that holds an analysis, a selection or the report."""


class Finishing(Strict):
    """What follows a run: the steps of `finish` in their order, once every row has an outcome.

    `notify` is a webhook that is told how the command ended, by a POST of JSON; its URL is not stored.
    """

    finish: tuple[StepConfig, ...] = Field((), json_schema_extra=HARMLESS)
    notify: Webhook | None = Field(None, json_schema_extra=HARMLESS)


class FinishingRunConfig(RunConfig, Finishing):
    """A run, and what follows it."""


class FinishingAutoIFConfig(AutoIFConfig, Finishing):
    """An AutoIF run, and what follows it."""


FinishingConfig = FinishingRunConfig | FinishingAutoIFConfig
