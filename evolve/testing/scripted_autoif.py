"""Replies of the scripted engine to AutoIF's questions, by which a funnel can be predicted by hand.

The questions are told apart by words of the shipped templates. An instruction "Mention the word X once or more" is
met by a text that holds X; what is written behind it decides its fate:

- "without code": no verification reply holds a function;
- "with wrong cases": every case expects the opposite, so no case is kept;
- "with a hanging function": the function never ends on a text without X, so only cases that hold X are kept;
- "in disguise": it passes cross-validation, and the judge finds its back-translations contradictory.

So does a word in a query: "badly" gets responses without X, "oddly" every second one (by the prompt's seed) without,
"weakly" good responses that the judge scores 5. All others hold X and are scored 9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from evolve.records import Prompt

_WORD = re.compile(r"Mention the word (\w+)")
_FUNCTION_WORD = re.compile(r'"(\w+)" in response')

NEW_INSTRUCTIONS = """Here are new constraints:
1. Mention the word amber once or more
2. mention the word AMBER, once or more!
3. Mention the word birch once or more, with wrong cases
4. Mention the word cedar once or more, without code
5. Mention the word delta once or more, with a hanging function, in disguise
6. Mention the word ebony once or more, in disguise
7. 123"""
"""The reply to every call for new instructions: five new ones, a duplicate, a heading and a line without words."""


def autoif_reply(prompt: Prompt) -> str:
    """The reply to one of AutoIF's questions; empty where the prompt is none."""
    return next((reply(prompt) for words, reply in _REPLIES.items() if words in prompt.text), "")


def _verification(prompt: Prompt) -> str:
    if "without code" in prompt.text:
        return "I would rather not write code."
    word, right = _word(prompt), "with wrong cases" not in prompt.text
    lines = [f"def evaluate(response):  # {prompt.seed}", f'    return "{word}" in response']
    if "with a hanging function" in prompt.text:
        lines.insert(1, f'    while not "{word}" in response: pass')
    cases = [
        {"input": f"{word} {prompt.seed}", "output": right},
        {"input": f"Nothing {prompt.seed}", "output": not right},
        {"input": f"Also {word} {prompt.seed}", "output": str(right).lower()},
    ]
    return json.dumps({"func": "\n".join(lines), "cases": cases})


def _description(prompt: Prompt) -> str:
    found = _FUNCTION_WORD.search(prompt.text)
    return f"Mention the word {found[1]} once or more." if found else ""


def _judgement(prompt: Prompt) -> str:
    return "CONTRADICTION" if "in disguise" in prompt.text else "ENTAILMENT"


def _response(prompt: Prompt) -> str:
    if "badly" in prompt.text or ("oddly" in prompt.text and prompt.seed % 2):
        return f"No word of yours. {prompt.seed}"
    return f"With pleasure: {_word(prompt)}. {prompt.seed}"


def _score(prompt: Prompt) -> str:
    return f"Score: {5 if 'weakly' in prompt.text else 9}"


def _word(prompt: Prompt) -> str:
    found = _WORD.search(prompt.text)
    return found[1] if found else "nothing"


_REPLIES: dict[str, Callable[[Prompt], str]] = {
    "new constraints of this kind": lambda _: NEW_INSTRUCTIONS,
    "function named evaluate": _verification,
    "returns True where the answer follows a certain constraint": _description,
    "Compare two requests": _judgement,
    "Your answer must follow the constraint": _response,
    "How good is this as a training example?": _score,
}
