"""Selections of random data against a brute-force oracle: ties, nulls, groups, shares."""

from __future__ import annotations

import math
import tempfile
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.errors import ConfigError
from ray_jobs.storage.store import open_store
from tests.ray_jobs.datasets.outputs import Record, ids, read_records, record, write_output

LOSSES = st.none() | st.sampled_from([0.5, 1.0, 1.5, 2.0])
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "evolver": st.sampled_from(["small", "large"]),
            "round": st.integers(1, 2),
            "operator": st.none() | st.sampled_from(["deepen", "concretise"]),
            "loss_q": LOSSES,
            "loss_a_given_q": LOSSES,
            "loss_a": LOSSES,
            "instruction": st.sampled_from(["One.", "One two.", "  One\n two three. ", "Ein Überblick"]),
        }
    ),
    min_size=1,
    max_size=40,
)
RULES = st.builds(
    Rule,
    by=st.sampled_from(["ic_ifd", "ifd", "ifd_ppl", "loss_q", "perplexity", "instruction_words"]),
    top=st.integers(1, 30) | st.integers(1, 1000).map(lambda tenths: Fraction(tenths, 1000)),
    order=st.sampled_from([None, "highest", "lowest"]),
    per=st.lists(st.sampled_from(["evolver", "round", "operator"]), unique=True).map(tuple),
    drop_ifd_above=st.none() | st.sampled_from([0.5, 1.0]),
)


def score(item: Record, by: str) -> float | None:
    """The score, as its definition has it."""
    q, joint, a = item["loss_q"], item["loss_a_given_q"], item["loss_a"]
    match by:
        case "ifd_ppl":
            return None if joint is None or a is None else math.exp(joint - a)
        case "perplexity":
            return None if q is None else math.exp(q)
        case "instruction_words":
            return len(item["instruction"].split())
        case _:
            value: float | None = item[by]
            return value


def oracle(records: list[Record], rule: Rule) -> tuple[set[str], Counter[str]]:
    """The kept ids, and how all records end."""
    highest = (rule.order or ("highest" if "ifd" in rule.by else "lowest")) == "highest"
    groups: defaultdict[tuple[Any, ...], list[tuple[float, str]]] = defaultdict(list)
    ends: Counter[str] = Counter()
    for item in records:
        value = score(item, rule.by)
        if value is None:
            ends["null_score"] += 1
        elif rule.drop_ifd_above is not None and item["ifd"] is not None and item["ifd"] > rule.drop_ifd_above:
            ends["ifd_above_limit"] += 1
        else:
            groups[tuple(item[name] for name in rule.per)].append((-value if highest else value, item["record_id"]))
    kept: set[str] = set()
    for members in groups.values():
        top = rule.top if isinstance(rule.top, int) else math.ceil(Fraction(rule.top or 0) * len(members))
        kept |= {record_id for _, record_id in sorted(members)[:top]}
        ends["below_cut"] += len(members) - min(top, len(members))
    ends["kept"] = len(kept)
    return kept, +ends


def of_part(records: list[Record], number: int, parts: int) -> list[Record]:
    """The records of one part: all those of a row are together."""
    return [record for record in records if record["plan_row"] % parts == number]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(RECORDS, RULES, st.integers(1, 4), st.permutations(range(40)))
def test_a_selection_keeps_what_a_plain_sort_keeps(
    values: list[dict[str, Any]], rule: Rule, parts: int, order: list[int]
) -> None:
    records = [record(number, **value) for number, value in zip(order, values, strict=False)]
    with tempfile.TemporaryDirectory() as folder:
        store, target = open_store(f"{folder}/run"), open_store(f"{folder}/best")
        write_output(store, [part for number in range(parts) if (part := of_part(records, number, parts))])
        if all(score(item, rule.by) is None for item in records):
            with pytest.raises(ConfigError, match=rule.by):
                select(store, target, rule, say=lambda _: None)
            return
        selection = select(store, target, rule, say=lambda _: None)
        kept = read_records(target)
        expected, ends = oracle(records, rule)
        assert sorted(ids(kept)) == sorted(expected)
        assert {reason.label: count for reason, count in selection.totals.items() if count} == ends
        by_id = {record["record_id"]: record for record in read_records(store)}
        assert kept == [by_id[item] for item in ids(kept)]
