"""Selections and exports between places, which a command or a program names by path or URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from ray_jobs.datasets.export import Exported, FileKind
from ray_jobs.datasets.export import export as export_records
from ray_jobs.datasets.formats import Reasoning
from ray_jobs.datasets.rule import Range, make_rule
from ray_jobs.datasets.select import select as select_records
from ray_jobs.datasets.selection_files import Selection
from ray_jobs.errors import ConfigError
from ray_jobs.storage.store import open_store
from scoring.select import Order


def select(
    output: str,
    target: str,
    *,
    by: str | None = None,
    top: str | int | None = None,
    random: str | int | None = None,
    seed: int | None = None,
    range: Range | None = None,
    order: Order | None = None,
    per: Sequence[str] = (),
    drop_ifd_above: float | None = None,
    drop_cut: bool = False,
    near_duplicates: float | None = None,
    decontaminate: str | None = None,
    ngram: int = 13,
    storage: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> Selection:
    """Keep the best records of `output` by a score, or a random draw, and write them to the new folder `target`.

    The arguments are the options of `evolve select` (docs/using_the_data.md): `top` and `random` are a number or a
    share such as "25%", `range` is (low, high) with None for no bound, `per` names some of evolver, round and operator,
    `drop_cut` leaves out responses that ran into their token limit,
    `near_duplicates` is the similarity from which instructions count as equal (0.7 is usual), and `decontaminate` a
    folder of test sets. `storage` holds options for the file systems. Raises as `datasets.select.select` does.

    >>> selection = select("out/first", "out/best", by="ic_ifd", top="25%", per=["evolver", "round"], say=str)
    >>> [outcome.name for outcome in sorted(selection.totals)]    # records by what became of them
    ['KEPT', 'BELOW_CUT']
    """
    rule = make_rule(
        by,
        None if top is None else str(top),
        None if random is None else str(random),
        seed,
        range=range,
        order=order,
        per=tuple(per),
        drop_ifd_above=drop_ifd_above,
        drop_cut=drop_cut,
        near_duplicates=near_duplicates,
        ngram=ngram if decontaminate else None,
    )
    options = storage or {}
    benchmarks = open_store(decontaminate, options) if decontaminate else None
    return select_records(open_store(output, options), open_store(target, options), rule, benchmarks, say=say)


def export(
    output: str,
    target: str,
    format: str,
    *,
    file: FileKind = "jsonl",
    validation: str = "0%",
    reasoning: Reasoning = "omit",
    drop_cut: bool = False,
    recipe: str | None = None,
    cards: int = 1,
    storage: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> Exported:
    """Write the records of `output` to the new folder `target`, in the format of a training program.

    Formats are alpaca, sharegpt, messages, dpo, and those of installed packages. The records of a share `validation` of
    the seeds are set aside, each seed on one side. In sharegpt and messages, what responders thought is a "field" of
    its turn, or "inline" before the answer in tags, where `reasoning` says so. For a student `recipe`, a
    model that is to be trained on so many `cards`, there are recipes for training programs beside the data. `storage`
    holds options for the file systems. Raises as `datasets.export.export` does.

    >>> exported = export("out/first", "out/sft", "alpaca", validation="20%", say=str)
    >>> sorted(exported.sides)
    ['train', 'validation']
    """
    share, options = _share(validation), storage or {}
    source, written = open_store(output, options), open_store(target, options)
    return export_records(
        source,
        written,
        format,
        file,
        share,
        reasoning=reasoning,
        drop_cut=drop_cut,
        recipe=recipe,
        cards=cards,
        say=say,
    )


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text.removesuffix("%")) / 100 if text.endswith("%") else None
    except (ValueError, ZeroDivisionError):
        share = None
    if share is None or not 0 <= share < 1:
        raise ConfigError(f"--validation {text}: expected a share from 0% to below 100%, such as 5%")
    return share
