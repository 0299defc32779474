"""The commands that use a finished output: `evolve select` and `evolve export`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from evolve.masking import mask_url
from ray_jobs.cli.json_output import Json, json_errors, print_json, progress
from ray_jobs.cli.options import Storage
from ray_jobs.cli.terminal import say

Source = Annotated[str, typer.Argument(metavar="OUTPUT", help="The output of a run or of a selection: folder or URL.")]
NewFolder = Annotated[str, typer.Argument(metavar="TARGET", help="An empty or new folder, or any fsspec URL.")]
By = Annotated[str | None, typer.Option(help="The score: ic_ifd, ifd, ifd_ppl, perplexity, instruction_words, …")]
Top = Annotated[str | None, typer.Option(help="How many to keep: 1000, or 25%.")]
Random = Annotated[
    str | None, typer.Option(metavar="N", help="Draw so many at random instead: 1000, or 25%; what a score must beat.")
]
Seed = Annotated[int | None, typer.Option(help="Another number, another random draw.")]
Range = Annotated[str | None, typer.Option("--range", metavar="LOW:HIGH", help="Keep these scores instead of a top.")]
Order = Annotated[
    Literal["highest", "lowest"] | None, typer.Option(help="Which end to keep; by default the one usual for the score.")
]
Per = Annotated[str | None, typer.Option(help="Rank within groups: some of evolver,round,operator.")]
DropIfdAbove = Annotated[float | None, typer.Option(help="First leave out records whose IFD is above this.")]
DropCut = Annotated[bool, typer.Option("--drop-cut", help="Leave out responses that ran into their token limit.")]
NearDuplicates = Annotated[bool, typer.Option("--near-duplicates", help="Keep one of nearly equal instructions.")]
Similarity = Annotated[float, typer.Option(min=0.5, max=1, help="From where on instructions are nearly equal.")]
Decontaminate = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Leave out what repeats test sets: JSON, JSONL, Parquet, CSV, txt.")
]
Ngram = Annotated[int, typer.Option(min=5, help="How many words in a row repeat a test set.")]
FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="The format of the records: alpaca, sharegpt, messages, dpo, reward, kto or an installed one.",
    ),
]
Reasoning = Annotated[
    Literal["omit", "field", "inline"],
    typer.Option(help="What responders thought: left out, a field of its turn, or in tags before the answer."),
]
FileName = Annotated[Literal["jsonl", "parquet"], typer.Option(help="The type of the files.")]
Recipe = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Add recipes by which LLaMA-Factory, TRL and Axolotl fine-tune this model."),
]
Cards = Annotated[int, typer.Option(help="On how many cards the recipes train; they share the paper's batch of 64.")]
Validation = Annotated[str, typer.Option(metavar="SHARE", help="Set the records of this share of the seeds aside.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(epilog="Example: evolve select out/first out/best --by ic_ifd --top 25% --per evolver,round")(select)
    app.command(epilog="Example: evolve export out/best out/sft --format alpaca --validation 5%")(export)


def select(
    output: Source,
    target: NewFolder,
    by: By = None,
    top: Top = None,
    random: Random = None,
    seed: Seed = None,
    range_: Range = None,
    order: Order = None,
    per: Per = None,
    drop_ifd_above: DropIfdAbove = None,
    drop_cut: DropCut = False,
    near_duplicates: NearDuplicates = False,
    similarity: Similarity = 0.7,
    decontaminate: Decontaminate = None,
    ngram: Ngram = 13,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Keep the best records by a score, or a random draw, and write them as a dataset of their own."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.datasets import places
    from ray_jobs.datasets.rule import parse_range

    with json_errors(as_json):
        selection = places.select(
            output,
            target,
            by=by,
            top=top,
            random=random,
            seed=seed,
            range=None if range_ is None else parse_range(range_),
            order=order,
            per=per.split(",") if per else (),
            drop_ifd_above=drop_ifd_above,
            drop_cut=drop_cut,
            near_duplicates=similarity if near_duplicates else None,
            decontaminate=decontaminate,
            ngram=ngram,
            storage=parse_storage(storage),
            say=progress(as_json),
        )
    if as_json:
        print_json({"target": mask_url(target), **selection.to_json()})
        return
    for reason, count in selection.totals.items():
        say(f"{count:>12,} {reason.label}")
    say(f"dataset: {mask_url(target)}")


def export(
    output: Source,
    target: NewFolder,
    format_: FormatName,
    file: FileName = "jsonl",
    validation: Validation = "0%",
    reasoning: Reasoning = "omit",
    drop_cut: DropCut = False,
    recipe: Recipe = None,
    cards: Cards = 1,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Write a dataset in the format of a training program, with the file by which LLaMA-Factory finds it."""
    from ray_jobs.config.load import parse_storage
    from ray_jobs.datasets import places

    with json_errors(as_json):
        exported = places.export(
            output,
            target,
            format_,
            file=file,
            validation=validation,
            reasoning=reasoning,
            drop_cut=drop_cut,
            recipe=recipe,
            cards=cards,
            storage=parse_storage(storage),
            say=progress(as_json),
        )
    if as_json:
        print_json({"target": mask_url(target), **exported.to_json()})
        return
    for name, side in exported.sides.items():
        say(f"{side.records:>12,} {name}")
    if exported.incomplete:
        say(f"{exported.incomplete:>12,} left out, for they lack a text that the format needs")
    if exported.cut:
        say(f"{exported.cut:>12,} left out, for their response ran into its token limit")
    for name in exported.recipes:
        say(f"recipe: {name}")
    say(f"dataset: {mask_url(target)}")
