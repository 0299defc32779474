"""NLI by a sequence-classification model, in a pool of its own."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from evolve.autoif.nli import Label, parse_label
from evolve.records import Usage
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.config import ClassifierConfig
from ray_jobs.jobs.autoif.rounds import back_translations, settle_labels
from ray_jobs.output.rounds import kept
from ray_jobs.pipeline.actors import with_rounds
from ray_jobs.pipeline.monitor import Monitor, StatsReporter


@dataclass(frozen=True)
class ClassifierJob:
    """What a classifying actor needs to know."""

    pool: str
    classifier: ClassifierConfig
    monitor: Monitor


class ClassifierActor:
    """Labels the back-translations of a block."""

    def __init__(self, job: ClassifierJob) -> None:
        from scoring.entailment import Entailment

        self._reporter = StatsReporter(job.monitor, job.pool)
        config = job.classifier
        with self._reporter.loading():
            self._model = Entailment(config.model, config.device, config.batch_size)
            self._names = label_names(config.model, self._model.labels)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Label every instruction of a block that is still kept."""
        rows = table.to_pylist()
        begun = [row for row in rows if row["rounds"] is not None]
        rounds = [item for row in begun for item in kept(row["rounds"])]
        with self._reporter.rows(len(begun)) as stats:
            described = [back_translations(item) for item in rounds]
            pairs = [
                (item["instruction"], text) for item, texts in zip(rounds, described, strict=True) for text in texts
            ]
            labels = iter(self._model.label(pairs))
            for item, texts in zip(rounds, described, strict=True):
                settle_labels(item, [self._names[next(labels)] for _ in texts], Usage())
            stats.count(rounds)
        self._reporter.report()
        return with_rounds(table, rows)


def label_names(model: str, labels: tuple[str, ...]) -> dict[str, Label]:
    """What each label of a model means. Raises ConfigError where one means nothing, or none is a contradiction.

    Models with two labels that call the other one "not entailment" cannot tell a contradiction.
    """
    names = {label: found for label in labels if (found := parse_label(label)) and "not" not in label.lower()}
    if len(names) < len(labels) or "contradiction" not in names.values():
        raise ConfigError(
            f"nli.model: {model} has the labels {', '.join(labels)}; expected entailment, neutral and contradiction"
        )
    return names
