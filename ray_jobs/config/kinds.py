"""The tables of kinds: what is shipped of each sort, by name. CONTRIBUTING.md says how each is added to."""

from __future__ import annotations

from ray_jobs.config.registered import ConfigRegistry

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
