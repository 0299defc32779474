"""Writes a dataset in the format of a training program, split so that no seed is on both sides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from ray_jobs.config.kinds import EXPORTS
from ray_jobs.config.registry import UnknownKind
from ray_jobs.datasets.formats import Format, Reasoning, with_reasoning
from ray_jobs.datasets.recipes import FILES as RECIPES
from ray_jobs.datasets.recipes import recipes, student
from ray_jobs.datasets.shards import SHARD_BYTES, JsonlShards, ParquetShards, Shards
from ray_jobs.datasets.source import Source, open_source
from ray_jobs.datasets.target import Contents, check_target, new_dataset, write_new
from ray_jobs.errors import ConfigError
from ray_jobs.output.card import card_header
from ray_jobs.output.counts import FINISH
from ray_jobs.output.file_names import CARD
from ray_jobs.storage.store import Store

TRAIN, VALIDATION = "train", "validation"
DATASET_INFO, EXPORT = "dataset_info.json", "export.json"
DATASET_NAME, TITLE = "evolved", "# Evolved instructions, format"
CONTENTS = Contents(
    "export", (TRAIN, VALIDATION, *RECIPES), EXPORT, {DATASET_INFO: f'"{DATASET_NAME}_{TRAIN}"', CARD: TITLE}
)
"""What an export writes."""
FileKind = Literal["jsonl", "parquet"]
WRITERS: Mapping[FileKind, type[Shards]] = {"jsonl": JsonlShards, "parquet": ParquetShards}


@dataclass
class Exported:
    """The account of an export. `incomplete` counts records that lack a text of the format, `cut` those left out.

    `cut` is None where cut responses are not left out. `recipes` are files for training programs, by their names.
    """

    format: str
    file: FileKind
    validation: Fraction
    origin: Mapping[str, Any]
    sides: dict[str, Shards] = field(default_factory=dict)
    incomplete: int = 0
    cut: int | None = None
    recipes: Mapping[str, bytes] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of export.json, without the time."""
        left_out = {} if self.cut is None else {"cut": self.cut}
        return {
            "format": self.format,
            "file": self.file,
            "validation": f"{self.validation * 100}%",
            "source": dict(self.origin),
            "counts": {
                **{name: side.records for name, side in self.sides.items()},
                "incomplete": self.incomplete,
                **left_out,
            },
            "files": [asdict(part) for side in self.sides.values() for part in side.parts],
            "recipes": list(self.recipes),
        }


def export(
    store: Store,
    target: Store,
    name: str,
    file: FileKind,
    validation: Fraction = Fraction(0),
    shard_bytes: int = SHARD_BYTES,
    reasoning: Reasoning = "omit",
    drop_cut: bool = False,
    recipe: str | None = None,
    cards: int = 1,
    say: Callable[[str], None] = print,
) -> Exported:
    """Write the dataset in `store`, of a run or a selection, to `target` in the format `name`.

    `reasoning` says what becomes of what responders thought, in a format with turns. `drop_cut` leaves out responses
    that ran into their token limit. `validation` is the share of seeds whose records are set aside, at least 0 and
    below 1. With `recipe`, a model that is to be fine-tuned on so many `cards`, there are recipes for training programs
    beside the data. What an export that has failed or was killed has left in `target` is made anew. Raises OutputError
    where anything else is there, `target` lies in `store` or around it, or `store` holds no dataset; LeaseHeld where a
    process is writing there; ConfigError where the data lack what the format needs, a side of the split would be empty,
    or there is no recipe.
    """
    check_target(target, CONTENTS, [store])
    source, wanted = open_source(store), with_reasoning(find_format(name), reasoning)
    if wanted is None:
        raise ConfigError(f"--reasoning {reasoning}: only the formats sharegpt and messages can hold it, not {name}")
    source.tell_unfinished(say)
    source.require((*wanted.needs, "seed_id"), f"--format {name}")
    source.require(wanted.takes, f"--reasoning {reasoning}")
    sides = [TRAIN, VALIDATION] if validation else [TRAIN]
    if validation:
        _check_sides(source, validation)
    if drop_cut:
        source.require((FINISH,), "--drop-cut")
    if cards != 1 and not recipe:
        raise ConfigError(f"--cards {cards}: goes with --recipe, which says what is trained on them")
    made = recipes(name, student(recipe, cards, file, validation > 0)) if recipe else {}
    exported = Exported(name, file, validation, source.origin, cut=0 if drop_cut else None, recipes=made)
    exported.sides = {side: WRITERS[file](target, side, wanted.schema, shard_bytes) for side in sides}
    with new_dataset(target, CONTENTS, [store]):
        _write(source, wanted, exported)
        if not any(side.records for side in exported.sides.values()):
            needs, hint = ", ".join(wanted.needs), f". {wanted.hint}" if wanted.hint else ""
            raise ConfigError(f"--format {name}: no record of {store.url} has all of {needs}{hint}")
        _describe(target, wanted, exported, source.languages())
    return exported


def find_format(name: str) -> Format:
    """The format of this name, shipped or of an installed package. Raises ConfigError."""
    try:
        found: Format = EXPORTS.find(name)
    except UnknownKind as error:
        raise ConfigError(f"--format: {error}") from None
    return found


def on_validation_side(seed_id: str, validation: Fraction) -> bool:
    """Whether a seed's records are set aside: where a hash of its id, as a fraction of 1, is below the share.

    So a seed stays on its side whatever else a dataset holds, and over all exports with the same share.
    """
    digest = hashlib.blake2b(seed_id.encode(), digest_size=8, person=b"validation").digest()
    return int.from_bytes(digest, "big") * validation.denominator < validation.numerator << 64


def _check_sides(source: Source, validation: Fraction) -> None:
    """Raises ConfigError unless both sides have a seed; reads seed ids only until they have."""
    seen = set()
    for batch in source.batches(["seed_id"]):
        seen |= {on_validation_side(row, validation) for row in pc.unique(batch.column("seed_id")).to_pylist()}
        if len(seen) == 2:
            return
    empty = TRAIN if True in seen else VALIDATION
    raise ConfigError(
        f"--validation {validation * 100}%: {source.store.url} has too few seeds for a split at this share, the side "
        f"{empty} would be empty"
    )


def _write(source: Source, wanted: Format, exported: Exported) -> None:
    columns = [*wanted.needs, *wanted.takes, *([] if exported.cut is None else [FINISH])]
    for batch in source.batches([*columns, "seed_id"]):
        texts = pa.RecordBatch.from_arrays([batch.column(name) for name in columns], columns)
        seeds = batch.column("seed_id").to_pylist()
        rows: dict[str, list[dict[str, Any]]] = {side: [] for side in exported.sides}
        for seed_id, row in zip(seeds, texts.to_pylist(), strict=True):
            if exported.cut is not None and row[FINISH] == "length":
                exported.cut += 1
            elif any(row[name] is None for name in wanted.needs):
                exported.incomplete += 1
            else:
                aside = on_validation_side(seed_id, exported.validation)
                rows[VALIDATION if aside else TRAIN] += wanted.rows(row)
        for side, shards in exported.sides.items():
            shards.add(pa.RecordBatch.from_pylist(rows[side], wanted.schema))
    for shards in exported.sides.values():
        shards.close()


def _describe(target: Store, wanted: Format, exported: Exported, languages: Sequence[str]) -> None:
    """Write what LLaMA-Factory and dataset viewers need, and the account last."""
    entries = {f"{DATASET_NAME}_{side}": wanted.described(side) for side in exported.sides}
    write_new(target, DATASET_INFO, json.dumps(entries, indent=2).encode())
    write_new(target, CARD, _card(exported, languages).encode())
    for path, recipe in exported.recipes.items():
        write_new(target, path, recipe)
    content = {"written_at": datetime.now(UTC).isoformat(), **exported.to_json()}
    write_new(target, EXPORT, json.dumps(content, indent=1).encode())


def _card(exported: Exported, languages: Sequence[str]) -> str:
    files = [{"split": side, "path": f"{side}/*.{exported.file}"} for side in exported.sides]
    counts = "\n".join(f"| {name} | {side.records:,} |" for name, side in exported.sides.items())
    return f"""{card_header(files, languages)}{TITLE} {exported.format}

From run `{exported.origin["run_id"]}` (fingerprint of the source: `{exported.origin["fingerprint"]}`).

| split | records |
|---|---|
{counts}

All records of a seed are in one split. `record_id` finds a record again in the source, with its scores.
LLaMA-Factory reads this folder as `dataset_dir`, with `dataset: {DATASET_NAME}_{TRAIN}`.
Whoever publishes this set chooses its licence, within what the seeds and the models allow.
"""
