"""NLI by a sequence-classification model, in a pool of its own."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.autoif.nli import Label, parse_label
from evolve.records import Usage
from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.config import ClassifierConfig
from ray_jobs.jobs.autoif.rounds import back_translations, settle_labels
from ray_jobs.output.rounds import RoundRow, kept
from ray_jobs.pipeline.actor import BlockActor, Row
from ray_jobs.pipeline.actors import RoundsActor
from ray_jobs.pipeline.monitor import WorkerStats


class ClassifierActor(RoundsActor, BlockActor[list[RoundRow]]):
    """Labels the back-translations of every instruction that is still kept."""

    def load(self, model: ClassifierConfig) -> None:
        """Load the classifier."""
        from scoring.entailment import Entailment

        self._model = Entailment(model.model, model.device, model.batch_size)
        self._names = label_names(model.model, self._model.labels)

    def work(self, rows: Sequence[Row], stats: WorkerStats) -> Sequence[list[RoundRow]]:
        """Label all back-translations of a block together."""
        rounds = [item for row in rows for item in kept(row["rounds"])]
        described = [back_translations(item) for item in rounds]
        pairs = [(item["instruction"], text) for item, texts in zip(rounds, described, strict=True) for text in texts]
        labels = iter(self._model.label(pairs))
        for item, texts in zip(rounds, described, strict=True):
            settle_labels(item, [self._names[next(labels)] for _ in texts], Usage())
        stats.count(rounds)
        return [row["rounds"] for row in rows]


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
