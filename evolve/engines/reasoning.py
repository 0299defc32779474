"""Telling what a model thinks aloud from what it answers, as far as texts show it. Free of vLLM.

vLLM has a parser for each way in which models mark their thoughts. Which one a model needs stands in its chat template:
by its marks, for all models that share them are read alike.
"""

from __future__ import annotations

import re

from evolve.errors import SettingError
from evolve.thoughts import Parted

AUTO, NONE = "auto", "none"
HARMONY = "openai_gptoss"
"""vLLM's name for the format of gpt-oss, whose replies are messages in channels."""
CHANNELS = ("<|channel|>", "<|start|>assistant<|channel|>")
"""How a reply in that format begins."""
_MARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("<|channel|>",), HARMONY),
    (("<|channel>",), "gemma4"),
    (("<seed:think>",), "seed_oss"),
    (("[THINK]",), "mistral"),
    (("<|START_THINKING|>",), "cohere_command3"),
    (("<|content_thinking|>",), "inkling"),
    (("<|open|>think",), "kimi_k3"),
    (("<think>", "<answer>"), "hunyuan_a13b"),
    (("<think>",), "qwen3"),
    (("</think>",), "qwen3"),
)
"""Marks in a template, all of which must be there, and vLLM's parser of them; the first that fits."""
_UNREAD = ("◁think▷", "<thinking>", "<thought>", "<reasoning>", "<|begin_of_thought|>", "<|thinking|>", "<|thought|>")
"""Marks of thoughts for which vLLM has no parser."""
_CHANNEL = re.compile(
    r"<\|channel\|>(?P<channel>\w+)[^<]*<\|message\|>(?P<text>.*?)(?=<\|(?:end|return|call|start)\|>|\Z)", re.DOTALL
)


def parser_for(template: str | None) -> tuple[str | None, str]:
    """vLLM's parser for a model with this chat template, None for one that does not think aloud; and why.

    Raises SettingError where the template plainly thinks and no parser fits.
    """
    if template is None:
        return None, "the model has no chat template"
    for marks, parser in _MARKS:
        if all(mark in template for mark in marks):
            return parser, f"the chat template holds {marks[0]}"
    for mark in _UNREAD:
        if mark in template:
            raise SettingError(
                f"reasoning: the chat template holds {mark}, which no parser of vLLM reads; expected one's name, or "
                "none, under which thoughts count as answers"
            )
    return None, "the chat template holds no marks of thoughts"


def part_harmony(text: str) -> Parted:
    """A reply in Harmony's format, with its control tokens: the channel "analysis" thinks, "final" answers.

    A reply without any channel is all answer.
    """
    messages = list(_CHANNEL.finditer(text))
    if not messages:
        return Parted("", text)
    thought = "\n".join(item["text"] for item in messages if item["channel"] == "analysis")
    final = [item for item in messages if item["channel"] == "final"]
    if not final:
        return Parted(thought.strip(), "", ended=False, cut=len(text))
    return Parted(thought.strip(), "".join(item["text"] for item in final), cut=final[0].start("text"))
