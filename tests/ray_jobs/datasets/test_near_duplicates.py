"""Near duplicates against exact Jaccard similarities."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest

from ray_jobs.datasets.near_duplicates import SignatureFile, near_duplicates
from ray_jobs.datasets.rule import Rule
from ray_jobs.datasets.select import select
from ray_jobs.datasets.words import ngrams, words_of
from ray_jobs.storage.store import Store, open_store
from tests.ray_jobs.datasets.outputs import ids, read_records, record, write_output

WORDS = [f"word{number}" for number in range(2000)]


def variants(rng: Random, texts: int, changed: int) -> list[str]:
    """Texts of 60 words, of which each has `changed` other words than the first."""
    first = rng.choices(WORDS, k=60)
    made = [first]
    for _ in range(texts - 1):
        other = list(first)
        for place in rng.sample(range(60), changed):
            other[place] = rng.choice(WORDS)
        made.append(other)
    return [" ".join(words) for words in made]


def jaccard(item: str, other: str) -> float:
    """The exact similarity of the sets of three-word runs."""
    a, b = ({*ngrams(words_of(text), 3)} for text in (item, other))
    return len(a & b) / len(a | b)


def repeated(texts: list[str], ranking: list[int], similarity: float = 0.7) -> set[int]:
    """Which texts are marked."""
    with SignatureFile() as file:
        file.add(texts[:3])
        file.add(texts[3:])
        marked = near_duplicates(file.signatures(), np.array(ranking, dtype=np.intp), similarity)
    return set(np.flatnonzero(marked).tolist())


def test_pairs_clearly_above_are_found_and_pairs_clearly_below_are_not() -> None:
    rng = Random(1)
    groups = [variants(rng, 2, changed) for changed in (1, 2, 8, 12, 20) for _ in range(40)]
    texts = [text for group in groups for text in group]
    similarities = {place: jaccard(*group) for place, group in enumerate(groups)}
    marked = repeated(texts, list(range(len(texts))))
    above = {2 * place + 1 for place, value in similarities.items() if value >= 0.85}
    below = {2 * place + 1 for place, value in similarities.items() if value <= 0.55}
    assert len(above) >= 40
    assert len(below) >= 80
    assert above <= marked
    assert not below & marked


def test_the_first_in_rank_stays_and_no_two_kept_are_alike() -> None:
    rng = Random(2)
    texts = [text for _ in range(10) for text in variants(rng, 4, 1)]
    ranking = rng.sample(range(40), 40)
    marked = repeated(texts, ranking)
    kept = [place for place in ranking if place not in marked]
    assert {min(range(4 * group, 4 * group + 4), key=ranking.index) for group in range(10)} <= set(kept)
    assert all(jaccard(texts[a], texts[b]) < 0.85 for a, b in combinations(kept, 2))


def test_texts_that_are_not_ranked_shadow_none() -> None:
    texts = ["The same words in each of these three texts here"] * 3
    assert repeated(texts, [1, 2]) == {2}
    assert repeated(texts, [2, 1, 0]) == {1, 0}
    assert repeated(texts, []) == set()


@pytest.mark.parametrize("same", ["TELL me: a story!", "tell  me a\nstory"])
def test_case_punctuation_and_space_do_not_count(same: str) -> None:
    assert repeated(["Tell me a story.", same, "Hi", "hi!", "Ho"], [0, 1, 2, 3, 4]) == {1, 3}


def test_a_selection_keeps_the_better_of_two(tmp_path: str, target: Store) -> None:
    output = open_store(f"{tmp_path}/run")
    text = "Write a short poem about the sea, in which each line begins with a vowel and ends with a rhyme"
    records = [
        record(0, instruction=text, input="", ic_ifd=0.5),
        record(1, instruction=text + " on day", input="", ic_ifd=0.9),
        record(
            2, instruction=text, input="another input of many other words that make all of this quite another question"
        ),
        record(3, instruction="Something else that is not in the least like the others here", ic_ifd=0.6),
    ]
    write_output(output, [records[:3], records[3:]])
    selection = select(output, target, Rule("ic_ifd", top=10, near_duplicates=0.7), say=lambda _: None)
    assert sorted(ids(read_records(target))) == sorted(ids(records[1:]))
    assert {reason.label: count for reason, count in selection.totals.items()} == {"kept": 3, "near_duplicate": 1}
