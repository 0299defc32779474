"""Instruction-response pairs in, IFD and IC-IFD scores out. Usable without Ray.

`from scoring import Pair, Scorer, ScorerConfig`; torch is imported when a `Scorer` is built, not before.
"""

from scoring.config import ScorerConfig
from scoring.records import Pair, Scores
from scoring.scorer import Scorer

__all__ = ["Pair", "Scorer", "ScorerConfig", "Scores"]
