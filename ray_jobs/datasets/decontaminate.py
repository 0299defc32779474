"""Finds records that repeat a benchmark: by runs of words that both have.

A run of 13 words in common is the measure of the GPT-3 paper (arXiv 2005.14165, appendix C). Texts of a benchmark
that are shorter than a run, but have five words or more, count where an instruction or input is just that text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ray_jobs.datasets.benchmark_files import BenchmarkFile, read_benchmarks
from ray_jobs.datasets.words import ngrams, words_of
from ray_jobs.storage.store import Store

SHORTEST = 5


@dataclass
class Benchmarks:
    """The word runs of all benchmark texts; about 150 bytes a run in memory."""

    n: int
    files: list[BenchmarkFile] = field(default_factory=list)
    _runs: set[str] = field(default_factory=set)
    _short: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, store: Store, n: int) -> Benchmarks:
        """Index all files of a folder by runs of `n` words. Raises ConfigError as `read_benchmarks` does."""
        index = cls(n)
        for file, texts in read_benchmarks(store):
            index.files.append(file)
            index.add(texts)
        return index

    def add(self, texts: Sequence[str]) -> None:
        """Take benchmark texts in."""
        for text in texts:
            words = words_of(text)
            if len(words) >= self.n:
                self._runs.update(ngrams(words, self.n))
            elif len(words) >= SHORTEST:
                self._short.add(" ".join(words))

    def hold(self, instruction: str, input: str, output: str) -> bool:
        """Whether a record has a run in common with a benchmark, or asks one of its short questions."""
        asked, given, answered = words_of(instruction), words_of(input), words_of(output)
        if " ".join(asked) in self._short or " ".join(given) in self._short:
            return True
        return any(not self._runs.isdisjoint(ngrams(words, self.n)) for words in (asked, given, answered))
