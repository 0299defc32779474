"""What a classifier's labels mean."""

from __future__ import annotations

import pytest

from ray_jobs.errors import ConfigError
from ray_jobs.jobs.autoif.classifier import label_names


def test_labels_are_understood_in_any_case_and_order() -> None:
    labels = ("contradiction", "NEUTRAL", "Entailment")
    assert label_names("m", labels) == dict(zip(labels, ("contradiction", "neutral", "entailment"), strict=True))


@pytest.mark.parametrize("labels", [("entailment", "not_entailment"), ("LABEL_0", "LABEL_1", "LABEL_2"), ("neutral",)])
def test_labels_that_tell_no_contradiction_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"nli\.model: m has the labels"):
        label_names("m", labels)
