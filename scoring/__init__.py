"""Instruction-response pairs in, IFD and IC-IFD scores out. Usable without Ray.

`from scoring import Pair, Scorer, ScorerConfig`; torch is imported when a `Scorer` is built, not before.
`RewardScorer` gives pairs the reward of a sequence classification model.
"""

from scoring.config import RewardConfig, ScorerConfig
from scoring.records import Pair, Reward, Scores
from scoring.reward import RewardScorer
from scoring.scorer import Scorer

__all__ = ["Pair", "Reward", "RewardConfig", "RewardScorer", "Scorer", "ScorerConfig", "Scores"]
