"""Analyses by a judge model: how hard instructions are, and whose answers are better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from evolve.errors import EvolveError
from evolve.judging.comparison import Comparison
from evolve.judging.difficulty import label_question, score_question
from evolve.judging.key_phrases import KeyPhrases
from evolve.judging.records import Question
from evolve.masking import mask_url
from evolve.prompts import check_folder, shipped_names
from evolve.strategies.trajectories import smallest
from ray_jobs.datasets.source import Source, open_source
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.analysis.actors import JUDGE, JudgeActor, JudgeTask
from ray_jobs.jobs.analysis.config import (
    AnalysisRunConfig,
    DifficultyConfig,
    DifficultyScoreConfig,
    JudgeQuestionConfig,
    KeyPhrasesConfig,
    WinConfig,
)
from ray_jobs.jobs.analysis.job import AnalysisJob
from ray_jobs.jobs.analysis.matching import pairs
from ray_jobs.jobs.analysis.planning import Row, plan_rows, with_trajectories
from ray_jobs.jobs.analysis.summaries import Entry, phrase_counts
from ray_jobs.jobs.analysis.tables import DIFFICULTY, DIFFICULTY_SCORE, PHRASES, PLAN, WIN, FindingsLayout, Values
from ray_jobs.jobs.preflight import check_models, check_variables
from ray_jobs.output.plan import PlanWriter
from ray_jobs.output.plan_index import PlanIndex
from ray_jobs.pipeline.stage import Stage
from ray_jobs.storage.store import Store, open_store


class JudgeJob(AnalysisJob):
    """A question about each record."""

    def __init__(
        self,
        config: AnalysisRunConfig,
        analysis: JudgeQuestionConfig,
        question: Question,
        values: Values,
        seeds: bool,
        carried: Values = (),
    ) -> None:
        """`values` are the columns that verdicts fill, `carried` those of the plan that the table keeps."""
        super().__init__(config, analysis.kind, FindingsLayout((*carried, *values)), seeds)
        self._analysis, self._question, self._values = analysis, question, values
        check_variables(config)
        check_models([self.stage])

    @property
    def stage(self) -> Stage:
        """A judge with the question."""
        judge = self._analysis.judge
        return Stage(
            JUDGE, "judge.engine", JudgeActor, judge.engine, judge.pool, JudgeTask(self._question, self._values)
        )

    def settings(self) -> dict[str, Any]:
        """Those of the analysis, and the question's fingerprint, which stands for its templates."""
        return super().settings() | {"question": self._question.fingerprint()}


class DifficultyJob(JudgeJob):
    """The difficulty of each instruction, as a label or as a number. Raises ConfigError."""

    def __init__(self, config: AnalysisRunConfig, analysis: DifficultyConfig | DifficultyScoreConfig) -> None:
        labels = isinstance(analysis, DifficultyConfig)
        make = label_question if labels else score_question
        how = partial(make, sampling=analysis.sampling(), with_input=analysis.with_input, forms=analysis.forms)
        question = _checked(partial(how, expected=analysis.expected), analysis.templates)
        super().__init__(config, analysis, question, DIFFICULTY if labels else DIFFICULTY_SCORE, analysis.seeds)


class WinJob(JudgeJob):
    """Each record against the one of the other output that it meets. Raises ConfigError."""

    def __init__(self, config: AnalysisRunConfig, analysis: WinConfig) -> None:
        carried = (PLAN.field("other_record_id"),)
        how = partial(Comparison, sampling=analysis.sampling(), forms=analysis.forms)
        question = _checked(partial(how, expected=analysis.expected), analysis.templates)
        super().__init__(config, analysis, question, WIN, False, carried)
        self._win = analysis

    def plan(self, writer: PlanWriter) -> PlanIndex:
        """The records that meet one of the other output by now."""
        source, place = self.source(), self._win.against
        other = open_source(open_store(place, self.config.storage)) if place else source
        signature = f"{source.origin['fingerprint']} {other.origin['fingerprint']}"
        return plan_rows(writer, pairs(source, other, self._win), signature)

    def entries(self, store: Store) -> list[Entry]:
        """As for every judge, with what was compared with."""
        against = self._win.against or self.config.source
        names = {"against": mask_url(against), "against_evolver": self._win.other_evolver}
        return [entry | names for entry in super().entries(store)]


class KeyPhrasesJob(JudgeJob):
    """What a model says each evolution did, in key phrases, for counting. Raises ConfigError."""

    def __init__(self, config: AnalysisRunConfig, analysis: KeyPhrasesConfig) -> None:
        question = _checked(partial(KeyPhrases, sampling=analysis.sampling()), analysis.templates)
        super().__init__(config, analysis, question, PHRASES, False)

    def rows(self, source: Source) -> Iterator[list[Row]]:
        """The records that say how they were evolved, with that in the place of their answer."""
        return with_trajectories(source)

    def entries(self, store: Store) -> list[Entry]:
        """As for every judge, with the distinct phrases of each group."""
        entries = super().entries(store)
        counts = [Counter[str](entry.pop("counts")) for entry in entries]
        sample = smallest(counts)
        return [entry | phrase_counts(count, sample) for entry, count in zip(entries, counts, strict=True)]


def _checked(question: Callable[[Path | None], Question], templates: Path | None) -> Question:
    try:
        if templates is not None:
            check_folder(templates, shipped_names())
        return question(templates)
    except EvolveError as error:
        raise ConfigError(f"templates: {error}") from None
