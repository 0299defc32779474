"""The section about what the records have cost: tokens, actor hours, money."""

from __future__ import annotations

from collections.abc import Sequence

from ray_jobs.report import plots
from ray_jobs.report.blocks import Block, Note, Section, Table
from ray_jobs.report.costs import money_per_kept
from ray_jobs.report.style import figure
from ray_jobs.report.view import NONE, View, count, money, percent

_KINDS = ("prompt, kept", "completion, kept", "prompt, lost", "completion, lost")


def cost_section(view: View) -> Section:
    """Tokens of a kept record by evolver, and what the pools did."""
    each = {name: _tokens_each(view, name) for name in view.evolvers}
    each = {name: amounts for name, amounts in each.items() if sum(amounts)}
    blocks: list[Block] = []
    if each:
        picture = figure(
            "tokens",
            f"Stacked bars of the tokens spent for each kept record of {', '.join(map(view.title, each))}, split into "
            "prompt and completion tokens of kept and of lost records. The table has the numbers.",
            "Tokens that evolver and responder read and wrote, for each kept record. Lost: rejected or failed.",
            plots.stacked_amounts(
                {view.title(name): item for name, item in each.items()}, _KINDS, "tokens a kept record"
            ),
        )
        blocks.append(picture)
    blocks += [_table(view), *_pairs(view)]
    return Section("cost", "Tokens and cost", [*blocks, *_pools(view)])


def _tokens_each(view: View, evolver: str) -> list[float]:
    spent, kept = view.gathered.tokens, view.gathered.kept(evolver)
    names = ("prompt_tokens", "completion_tokens")
    return [spent[evolver, name, of_kept] / kept if kept else 0.0 for of_kept in (True, False) for name in names]


def _table(view: View) -> Table:
    rows = []
    for name in view.evolvers:
        amounts, kept = _tokens_each(view, name), view.gathered.kept(name)
        whole = sum(amounts)
        tokens = [count(whole), *map(count, amounts)] if kept else [NONE] * 5
        row = [view.title(name), count(kept), *tokens, percent(amounts[2] + amounts[3], whole)]
        rows.append([*row, money(money_per_kept(view.pools, view.gathered, name))])
    headings = [
        "evolver",
        "kept records",
        "tokens a kept record",
        *_KINDS,
        "spent on lost ones",
        "money a kept record",
    ]
    return Table("Tokens of a kept record, those of lost ones included, and what it cost.", headings, rows)


def _pairs(view: View) -> Sequence[Table]:
    """What a preference pair has cost; nothing where there is none."""
    spent, rows = view.gathered.tokens, []
    for name in view.evolvers:
        pairs, kept = view.gathered.choices.pairs[name], view.gathered.kept(name)
        if pairs:
            tokens = sum(number for (of, _, _), number in spent.items() if of == name)
            each = money_per_kept(view.pools, view.gathered, name)
            told = money(None if each is None else each * kept / pairs)
            rows.append([view.title(name), count(pairs), count(tokens / pairs), told])
    headings = ["evolver", "pairs", "tokens a pair", "money a pair"]
    return (
        [Table("Preference pairs, and what each cost if records are kept for their sake.", headings, rows)]
        if rows
        else []
    )


def _pools(view: View) -> Sequence[Block]:
    if not view.pools:
        return [Note("No session of this output is recorded, so there are no figures by pool.")]
    rows = [
        [
            pool.name,
            f"{pool.hours:,.3f}",
            f"{pool.gpus:g}",
            f"{pool.hours * pool.gpus:,.3f}",
            count(pool.prompt_tokens),
            count(pool.completion_tokens),
            count(pool.given_again),
            money(pool.money),
        ]
        for pool in view.pools
    ]
    headings = ["pool", "actor hours", "GPUs an actor", "GPU hours", "prompt tokens", "completion tokens"]
    headings += ["replies from the journal", "money"]
    text = (
        "Actor hours are those with a loaded model. Replies from the journal were paid for before: their tokens are "
        "not counted again. Money is in the currency of the prices given; that "
        "of pools which several evolvers share is shared out by the records that reached them."
    )
    prices = [] if view.pools[0].money is not None else [Note("No price was given. For amounts of money, add", _PRICES)]
    return [Table("Pools over all sessions.", headings, rows), Note(text), *prices]


_PRICES = "--gpu-hour-price 2.5   or   --token-price 0.1/0.4"
