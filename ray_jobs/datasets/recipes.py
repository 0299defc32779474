"""Recipes for training programs: how a student is fine-tuned on an export, under the paper's settings.

A recipe stands beside the data and names it by paths within that folder, so the program is started there. Settings are
those of arXiv 2412.11231: Table 6 (full fine-tuning, 3 epochs at 2e-5), and Table 7 by size for students of the family
that it studies. Both have a global batch of 64, a cosine schedule with 3 % warm-up, and texts of up to 2,048 tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ray_jobs.errors import ConfigError

BATCH, WARM_UP, LENGTH = 64, 0.03, 2048
"""WARM_UP is a share of all steps; transformers 5 takes one below 1 under `warmup_steps`."""
_SIZE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([BM])(?![a-z])", re.IGNORECASE)
_FAMILY = re.compile(r"qwen-?2\.5", re.IGNORECASE)
_LORA = 10e9
"""Students of Table 7 that are larger are fine-tuned by LoRA."""
_SMALL = 2e9
Settings = dict[str, Any]


@dataclass(frozen=True)
class Training:
    """How a student is trained, by which `table`: for so many epochs, at which rate; whole, or by LoRA of a `rank`."""

    table: int
    epochs: int
    rate: float
    rank: int | None = None


@dataclass(frozen=True)
class Student:
    """The model that is trained on so many `cards`, by data in `file`s, some of which may be set aside to look at."""

    model: str
    cards: int
    file: str
    validation: bool

    @property
    def training(self) -> Training:
        """The paper's settings for it."""
        size = parameters(self.model)
        if size is None or not _FAMILY.search(self.model):
            return Training(6, 3, 2e-5)
        if size > _LORA:
            return Training(7, 2, 5e-5, rank=8)
        return Training(7, 2, 1e-5 if size < _SMALL else 7e-6)

    @property
    def accumulated(self) -> int:
        """How many steps of one text a card make the global batch."""
        return BATCH // self.cards


def parameters(model: str) -> float | None:
    """How many parameters a model has by its name, such as `Qwen2.5-0.5B`; None where that says nothing."""
    found = _SIZE.findall(model.rstrip("/").rpartition("/")[2])
    if not found:
        return None
    number, unit = found[-1]
    return float(number) * {"B": 1e9, "M": 1e6}[unit.upper()]


def student(model: str, cards: int, file: str, validation: bool) -> Student:
    """A student. Raises ConfigError where its cards cannot share the global batch."""
    if cards < 1 or BATCH % cards:
        raise ConfigError(f"--cards {cards}: expected a number that divides the paper's batch of {BATCH}")
    folder = Path(model)
    return Student(str(folder.resolve()) if folder.is_dir() else model, cards, file, validation)


def recipes(format_: str, wanted: Student) -> dict[str, bytes]:
    """The recipes for an export in this format, by the names of their files. Raises ConfigError where there is none."""
    if format_ not in _MAPPED:
        raise ConfigError(f"--recipe: expected a format for fine-tuning, {', '.join(_MAPPED)}, got {format_}")
    found = {}
    for program, (command, make) in _PROGRAMS.items():
        if settings := make(format_, wanted):
            name = file_name(program)
            found[name] = (_heading(command.format(name), wanted) + yaml.safe_dump(settings, sort_keys=False)).encode()
    return found


def file_name(program: str) -> str:
    """The file of a program's recipe."""
    return f"recipe-{program}.yaml"


def _heading(command: str, wanted: Student) -> str:
    training, cards = wanted.training, f"{wanted.cards} card{'s' if wanted.cards > 1 else ''}"
    return (
        f"# In this folder: {command}\n"
        f"# Settings of arXiv 2412.11231, Table {training.table}, for {cards}: a global batch of {BATCH}.\n"
    )


def _llama_factory(_: str, wanted: Student) -> Settings:
    training = wanted.training
    lora = {"lora_rank": training.rank, "lora_alpha": training.rank, "lora_target": "all"} if training.rank else {}
    return {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": wanted.model,
        "finetuning_type": "lora" if training.rank else "full",
        **lora,
        "dataset_dir": ".",
        "dataset": "evolved_train",
        **({"eval_dataset": "evolved_validation", "eval_strategy": "epoch"} if wanted.validation else {}),
        "cutoff_len": LENGTH,
        "output_dir": "student",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": wanted.accumulated,
        "learning_rate": training.rate,
        "num_train_epochs": float(training.epochs),
        "lr_scheduler_type": "cosine",
        "warmup_steps": WARM_UP,
        "bf16": True,
        "logging_steps": 10,
        "save_strategy": "epoch",
    }


def _trl(format_: str, wanted: Student) -> Settings | None:
    if format_ != "messages":
        # it reads no other of these
        return None
    training = wanted.training
    lora = {"lora_r": training.rank, "lora_alpha": training.rank, "lora_target_modules": "all-linear"}
    return {
        "model_name_or_path": wanted.model,
        # of files it reads one side alone
        "datasets": [_files("train", wanted)],
        **({"use_peft": True, **lora} if training.rank else {}),
        "max_length": LENGTH,
        "output_dir": "student",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": wanted.accumulated,
        "learning_rate": training.rate,
        "num_train_epochs": training.epochs,
        "lr_scheduler_type": "cosine",
        "warmup_steps": WARM_UP,
        "bf16": True,
        "logging_steps": 10,
        "save_strategy": "epoch",
    }


def _axolotl(format_: str, wanted: Student) -> Settings:
    training = wanted.training
    rank = training.rank
    lora = {"adapter": "lora", "lora_r": rank, "lora_alpha": rank, "lora_target_linear": True} if rank else {}
    return {
        "base_model": wanted.model,
        **lora,
        "datasets": [_axolotl_data("train", format_, wanted)],
        **({"test_datasets": [_axolotl_data("validation", format_, wanted)]} if wanted.validation else {}),
        "sequence_len": LENGTH,
        "output_dir": "student",
        "micro_batch_size": 1,
        "gradient_accumulation_steps": wanted.accumulated,
        "learning_rate": training.rate,
        "num_epochs": training.epochs,
        "lr_scheduler": "cosine",
        "warmup_ratio": WARM_UP,
        "optimizer": "adamw_torch",
        "bf16": True,
        "gradient_checkpointing": True,
        "logging_steps": 10,
        "saves_per_epoch": 1,
    }


def _axolotl_data(side: str, format_: str, wanted: Student) -> Settings:
    found = _files(side, wanted)
    return {**found, "ds_type": found["path"], **_MAPPED[format_]}


def _files(side: str, wanted: Student) -> Settings:
    """The files of a side as `datasets.load_dataset` takes them."""
    kind = "json" if wanted.file == "jsonl" else wanted.file
    return {"path": kind, "data_files": [f"{side}/*.{wanted.file}"], "split": "train"}


_TURN = {"type": "chat_template"}
_MAPPED: Mapping[str, Settings] = {
    "alpaca": {"type": "alpaca"},
    "sharegpt": {
        **_TURN,
        "field_messages": "conversations",
        "message_property_mappings": {"role": "from", "content": "value"},
    },
    "messages": {**_TURN, "field_messages": "messages"},
}
"""The formats for fine-tuning, each as Axolotl reads it."""
_PROGRAMS: Mapping[str, tuple[str, Callable[[str, Student], Settings | None]]] = {
    "llamafactory": ("llamafactory-cli train {}", _llama_factory),
    "trl": ("trl sft --config {}", _trl),
    "axolotl": ("axolotl train {}", _axolotl),
}
"""The programs: how each is started with a recipe, and how one is made; None for a format that it does not read."""
FILES: Sequence[str] = tuple(map(file_name, _PROGRAMS))
"""The names of all recipes."""
