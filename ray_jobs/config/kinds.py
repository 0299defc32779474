"""The tables of kinds: what is shipped of each sort, by name. CONTRIBUTING.md says how each is added to."""

from __future__ import annotations

from typing import Any

from ray_jobs.config.registered import ConfigRegistry
from ray_jobs.config.registry import Registry

ENGINES = ConfigRegistry(
    "engines",
    "ray_jobs.config.engine_kinds:EngineKind",
    {
        "vllm": "ray_jobs.config.engine_kinds:VllmConfig",
        "openai": "ray_jobs.config.engine_kinds:OpenAIConfig",
        "scripted": "ray_jobs.config.engine_kinds:ScriptedConfig",
    },
    default="vllm",
)
STRATEGIES = ConfigRegistry(
    "strategies",
    "ray_jobs.config.strategies:StrategyKind",
    {
        "evol_instruct": "ray_jobs.config.strategies:EvolInstructConfig",
        "auto_evol": "ray_jobs.config.strategies:AutoEvolConfig",
        "autoif": "ray_jobs.jobs.autoif.config:AutoIFStrategyConfig",
    },
    default="evol_instruct",
)
SCORERS = ConfigRegistry(
    "scorers",
    "ray_jobs.config.run:ScorerKind",
    {
        "model": "ray_jobs.config.run:ModelScorerConfig",
        "scripted": "ray_jobs.config.run:ScriptedScorerConfig",
    },
    default="model",
)
_ANALYSES = "ray_jobs.jobs.analysis.config"
ANALYSES = ConfigRegistry(
    "analyses",
    f"{_ANALYSES}:AnalysisKind",
    {
        "difficulty": f"{_ANALYSES}:DifficultyConfig",
        "difficulty_score": f"{_ANALYSES}:DifficultyScoreConfig",
        "win": f"{_ANALYSES}:WinConfig",
        "diversity": f"{_ANALYSES}:DiversityConfig",
        "reward": f"{_ANALYSES}:RewardAnalysisConfig",
        "evolution_reward": f"{_ANALYSES}:EvolutionRewardConfig",
        "trajectories": f"{_ANALYSES}:TrajectoriesConfig",
        "key_phrases": f"{_ANALYSES}:KeyPhrasesConfig",
        "top1": f"{_ANALYSES}:Top1Config",
    },
    default="difficulty",
)
STEPS = ConfigRegistry(
    "steps",
    "ray_jobs.config.base:Kind",
    {
        "select": "ray_jobs.jobs.finish_config:SelectConfig",
        "report": "ray_jobs.jobs.finish_config:ReportConfig",
    },
    beside=[ANALYSES],
)
EXPORTS: Registry[Any] = Registry(
    "exports",
    "ray_jobs.datasets.formats:Format",
    {
        "alpaca": "ray_jobs.datasets.formats:ALPACA",
        "sharegpt": "ray_jobs.datasets.formats:SHAREGPT",
        "messages": "ray_jobs.datasets.formats:MESSAGES",
        "dpo": "ray_jobs.datasets.formats:DPO",
        "reward": "ray_jobs.datasets.formats:REWARD",
        "kto": "ray_jobs.datasets.formats:KTO",
    },
)
TRACKERS = ConfigRegistry(
    "trackers",
    "ray_jobs.config.trackers:TrackerKind",
    {
        "wandb": "ray_jobs.runner.trackers.wandb_tracker:WandbConfig",
        "mlflow": "ray_jobs.runner.trackers.mlflow_tracker:MlflowConfig",
        "trackio": "ray_jobs.runner.trackers.trackio_tracker:TrackioConfig",
        "opentelemetry": "ray_jobs.runner.trackers.spans:SpansConfig",
    },
)
