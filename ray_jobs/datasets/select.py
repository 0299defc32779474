"""Makes a new dataset of the records that a rule keeps, in readings of the source that each need bounded memory.

The scores are read once for the cuts (`sieve.py`). Where near duplicates or benchmarks are to be found, the texts of
what the scores keep are read, and one byte a record says what was found. Then the kept records are copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from ray_jobs.datasets.analyses import id_bytes
from ray_jobs.datasets.decontaminate import Benchmarks
from ray_jobs.datasets.near_duplicates import SignatureFile, near_duplicates
from ray_jobs.datasets.outcomes import Counts, Outcome, Outcomes, count
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.score_columns import ScoreColumn, random_column, require_scores, score_column
from ray_jobs.datasets.selection_files import CONTENTS, Selection, write_selection
from ray_jobs.datasets.shards import SHARD_BYTES, ParquetShards
from ray_jobs.datasets.sieve import Sieve, Sifted
from ray_jobs.datasets.source import open_source
from ray_jobs.datasets.target import check_target, new_dataset
from ray_jobs.datasets.words import question
from ray_jobs.output.counts import FINISH
from ray_jobs.output.file_names import DATA
from ray_jobs.storage.store import Store
from scoring.select import ranking

Say = Callable[[str], None]


def select(
    store: Store,
    target: Store,
    rule: Rule,
    benchmarks: Store | None = None,
    say: Say = print,
    shard_bytes: int = SHARD_BYTES,
) -> Selection:
    """Write the dataset of `rule` to `target` and return its account. `benchmarks` holds test sets to keep out.

    The same source and rule give the same files, byte for byte, but for the time in selection.json. What a selection
    that has failed or was killed has left in `target` is made anew. Raises OutputError where anything else is there,
    `target` lies in what is read or around it, or `store` holds no dataset; LeaseHeld where a process is writing there;
    ConfigError for a rule that does not fit.
    """
    read = [store, benchmarks] if benchmarks else [store]
    check_target(target, CONTENTS, read)
    source = open_source(store)
    column = score_column(source, rule.by) if rule.seed is None else random_column(rule.seed)
    rule = rule.ordered(column.order)
    index = Benchmarks.load(benchmarks, rule.ngram) if benchmarks and rule.ngram else None
    source.require(_needed(column, rule, bool(index)), f"a selection by {rule.by}")
    require_scores(source, column)
    source.tell_unfinished(say)
    say(f"reading {rule.by} of {source.origin['records']:,} records")
    sieve = Sieve(source, rule, column)
    found = None
    if index or rule.near_duplicates is not None:
        say("reading the texts that the score keeps")
        found = _read_texts(sieve, rule, index)
    say("writing what is kept")
    with new_dataset(target, CONTENTS, read):
        shards = ParquetShards(target, DATA, source.schema, shard_bytes)
        counts = _copy(sieve, rule, found, shards)
        selection = Selection(rule, source.origin, sieve.cuts, counts, shards.parts, index.files if index else ())
        write_selection(target, selection, source.languages())
    return selection


def _needed(column: ScoreColumn, rule: Rule, benchmarks: bool) -> list[str]:
    """The columns that the selection reads."""
    limit = [*([] if rule.drop_ifd_above is None else ["ifd"]), *([FINISH] if rule.drop_cut else [])]
    texts = ["instruction", "input", "output"] if benchmarks or rule.near_duplicates is not None else []
    return ["record_id", *column.needs, *rule.per, *limit, *texts]


def _read_texts(sieve: Sieve, rule: Rule, index: Benchmarks | None) -> Outcomes:
    """An Outcome for each record that the scores keep, in the order of the source."""
    assert rule.order is not None
    outcomes, scores, ids = [], [], []
    with SignatureFile() as signatures:
        for sifted in sieve.sift(["instruction", "input", "output"]):
            passed = sifted.passed()
            outcomes.append(_contaminated(passed, index))
            if rule.near_duplicates is not None:
                signatures.add(map(question, *_texts(passed, "instruction", "input")))
                scores.append(passed.scores)
                ids.append(id_bytes(passed.batch.column("record_id")))
        found = np.concatenate(outcomes)
        if rule.near_duplicates is not None:
            ranked = ranking(np.concatenate(scores), np.concatenate(ids), rule.order)
            clean = ranked[found[ranked] == Outcome.KEPT]
            found[near_duplicates(signatures.signatures(), clean, rule.near_duplicates)] = Outcome.NEAR_DUPLICATE
    return found


def _contaminated(passed: Sifted, index: Benchmarks | None) -> Outcomes:
    if index is None:
        return passed.outcomes
    records = zip(*_texts(passed, "instruction", "input", "output"), strict=True)
    return np.array(
        [Outcome.CONTAMINATED if index.hold(*record) else Outcome.KEPT for record in records], dtype=np.uint8
    )


def _texts(passed: Sifted, *names: str) -> list[list[str]]:
    return [passed.batch.column(name).to_pylist() for name in names]


def _copy(sieve: Sieve, rule: Rule, found: Outcomes | None, shards: ParquetShards) -> Counts:
    """Write what is kept, and count how the records end. `found` is what `_read_texts` gives."""
    counts: Counts = Counter()
    start = 0
    for sifted in sieve.sift():
        outcomes = sifted.outcomes
        passed = np.flatnonzero(outcomes == Outcome.KEPT)
        if found is not None:
            outcomes[passed] = found[start : start + len(passed)]
        start += len(passed)
        counts += count(sifted.batch, rule.per, outcomes)
        shards.add(sifted.passed().batch)
    shards.close()
    return counts
