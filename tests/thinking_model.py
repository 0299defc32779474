"""SmolLM2 as a model that thinks: two tokens that it was trained without open and close its thoughts."""

from __future__ import annotations

import json
from pathlib import Path

NAMES = {"<gh_stars>": "<think>", "<issue_start>": "</think>"}
"""Tokens for source code, which a conversation never holds -> what they are called here."""

TEMPLATE = """{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if tone %}<|im_start|>system
Be {{ tone }}, always.<|im_end|>
{% endif %}<|im_start|>assistant
<think>
"""
"""Opens the thoughts in the prompt, as the templates of thinking models do; `tone` is an argument of its own."""


def thinking_model(model: Path, folder: Path) -> Path:
    """Make the model in `folder`, of the same weights, and return `folder`."""
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).symlink_to(path.resolve())
    tokenizer = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    for token in tokenizer["added_tokens"]:
        if name := NAMES.get(token["content"]):
            token |= {"content": name, "special": False}
    words = tokenizer["model"]["vocab"]
    for before, name in NAMES.items():
        words[name] = words.pop(before)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder
