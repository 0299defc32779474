"""Evolved instructions as replies: each record with the prompt that its evolver was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from evolve.errors import EvolveError
from evolve.prompts import Template, check_folder, load_template, shipped_names
from evolve.strategies.auto_evol import METHOD_TEMPLATE, load_method
from evolve.strategies.evol_instruct import OPERATORS
from ray_jobs.config.identity import fingerprint
from ray_jobs.datasets.source import Source, run_source
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.planning import KEYS, Row
from ray_jobs.output import accept
from ray_jobs.output.file_names import REJECTED


@dataclass(frozen=True)
class EvolvePrompts:
    """The evolve prompts by operator."""

    templates: Mapping[str, Template]

    @classmethod
    def load(cls, folder: Path | None) -> EvolvePrompts:
        """Those of Evol-Instruct and the method of Auto Evol-Instruct, from `folder` where it has them.

        Raises ConfigError.
        """
        try:
            if folder is not None:
                check_folder(folder, shipped_names())
            method = load_method(folder)
            templates = {
                name: load_template(f"evol_instruct/{name}", {"instruction"}, {"input"}, folder) for name in OPERATORS
            }
        except EvolveError as error:
            raise ConfigError(f"templates: {error}") from None
        return cls(templates | {f"method:{method.digest()}": method})

    def digest(self) -> str:
        """A digest of all of them."""
        return fingerprint({name: template.digest() for name, template in self.templates.items()})

    def of(self, operator: str | None, instruction: str, input: str) -> str:
        """The prompt that `operator` makes of a parent. Raises ConfigError where it is not known."""
        template = self.templates.get(operator or "")
        if template is None:
            raise ConfigError(
                f"templates: no prompt belongs to the operator {operator} of the records; for a method of your own, "
                f"give a folder with it as {METHOD_TEMPLATE}.txt"
            )
        return template.render(instruction=instruction, input=input)


def evolutions(source: Source, prompts: EvolvePrompts) -> Iterator[list[Row]]:
    """The records of a dataset as replies, each with its prompt in the place of its instruction.

    The instructions that others were evolved from are held in memory; of a run one may stand among the rejected
    records, for a rejected answer leaves its instruction a parent. Raises ConfigError where one is not there.
    """
    parents = _parents(source)
    columns = [*KEYS, "parent_id", "operator", "seed_instruction", "input", "instruction"]
    for batch in source.batches(columns):
        rows = []
        for record in batch.to_pylist():
            parent = record["seed_instruction"]
            if _has_parent(record):
                parent = parents.get(record["parent_id"])
            if parent is None:
                raise ConfigError(
                    f"evolution_reward: the parent {record['parent_id']} of {record['record_id']} is not among the "
                    "kept and rejected records; it needs a run with keep_rounds: all, and not a selection of one"
                )
            prompt = prompts.of(record["operator"], parent, record["input"])
            keys = {key: record[key] for key in KEYS}
            rows.append(keys | {"instruction": prompt, "input": "", "output": record["instruction"]})
        yield rows


def _parents(source: Source) -> dict[str, str]:
    wanted = set[str]()
    for batch in source.batches(["seed_id", "parent_id"]):
        wanted |= {record["parent_id"] for record in batch.to_pylist() if _has_parent(record)}
    found = _instructions(source, wanted)
    if (missing := wanted - found.keys()) and (rejected := _rejected(source)):
        found |= _instructions(rejected, missing)
    return found


def _instructions(source: Source, wanted: Set[str]) -> dict[str, str]:
    """The instructions of the records that are `wanted`, by their ids."""
    found: dict[str, str] = {}
    for batch in source.batches(["record_id", "instruction"]) if wanted else ():
        found |= {row["record_id"]: row["instruction"] for row in batch.to_pylist() if row["record_id"] in wanted}
    return found


def _rejected(source: Source) -> Source | None:
    """The rejected records beside those of a run; None where there are none, as in a selection."""
    if source.origin["kind"] != "run":
        return None
    return run_source(source.store, accept.load(source.store).manifest, REJECTED)


def _has_parent(record: Row) -> bool:
    """Whether a record was evolved from another record, not from its seed."""
    return bool(record["parent_id"] != record["seed_id"])
