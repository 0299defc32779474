"""An engine without a model: deterministic replies, and the latency and failures that a test or benchmark asks for.

It stands in for vLLM wherever the subject is the pipeline: dry runs, chaos tests, benchmarks. Its batching model
is continuous batching in small: `slots` requests run at once, each takes prompt_tokens / prefill_rate and then
completion_tokens / decode_rate seconds, and the next one starts the moment a slot is free.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal, NoReturn

from evolve.confidence import Confidence
from evolve.errors import EngineDied, PromptRefused
from evolve.listening import PIECE
from evolve.records import Completion, Prompt
from evolve.testing.scripted_autoif import autoif_reply

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Script:
    """How a scripted engine behaves. Every choice derives from the prompt's text and seed, never from order.

    It takes `load_seconds` to load. Rates are tokens a second a request; 0 means at once. Lengths are log-normal with
    the given median and sigma of the logarithm. `reply` is the part that is played: "topic" gives tasks and answers,
    "auto_evol" the four steps of Auto Evol-Instruct, "method" new methods for it, "autoif" all parts of AutoIF (see
    scripted_autoif.py), "judge" verdicts. `refuse_share` of prompts are refused; prompts that hold `refuse_text` always
    are. `die_after` prompts the engine dies, once per folder `marks` where that is given, so that its successor lives;
    of prompts that hold `die_text` it dies every time.
    `call_log` is a file to which each call appends the digest of its prompt, for counting work from outside; `slot_log`
    one to which each call that takes time appends when it took its slot and when it left it, in seconds of the system's
    monotonic clock.
    """

    load_seconds: float = 0.0
    slots: int = 256
    prefill_rate: float = 0.0
    decode_rate: float = 0.0
    reply: Literal["topic", "auto_evol", "method", "autoif", "judge"] = "topic"
    median_tokens: int = 40
    sigma: float = 0.0
    refuse_share: float = 0.0
    refuse_text: str = ""
    die_text: str = ""
    die_after: int = 0
    exit_code: int | None = None
    marks: str = ""
    call_log: str = ""
    slot_log: str = ""


class ScriptedEngine:
    """Replies by `reply(prompt)`, or as the script says, in words that derive from the prompt."""

    def __init__(self, script: Script | None = None, reply: Callable[[Prompt], str] | None = None) -> None:
        self.script = script or Script()
        time.sleep(self.script.load_seconds)
        self._reply = reply or REPLIES[self.script.reply]
        self._slots = asyncio.Semaphore(self.script.slots)
        self._instant = not (self.script.prefill_rate or self.script.decode_rate)
        self.calls = 0

    @property
    def max_concurrency(self) -> int:
        """Those of the script."""
        return self.script.slots

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt` after the scripted time, or fail as scripted."""
        self.calls += 1
        if self.script.call_log:
            _append(self.script.call_log, _digest(prompt))
        self._maybe_die(prompt)
        draw = Random(_digest(prompt)) if self._needs_draw else None
        self._maybe_refuse(prompt, draw)
        completion = self._complete(prompt, self._length(draw))
        if prompt.draws > 1:
            completion = replace(
                completion, others=tuple(self._other(prompt, place) for place in range(1, prompt.draws))
            )
        if self._instant:
            _tell(completion.text)
        else:
            async with self._slots:
                taken = time.monotonic()
                await self._write(completion)
                left = time.monotonic()
            if self.script.slot_log:
                _append(self.script.slot_log, f"{taken:.4f} {left:.4f}")
        return completion

    async def close(self) -> None:
        """Nothing is held."""

    @property
    def _needs_draw(self) -> bool:
        return bool(self.script.sigma or self.script.refuse_share)

    def _length(self, draw: Random | None) -> int:
        if draw is None or not self.script.sigma:
            return self.script.median_tokens
        return max(1, round(draw.lognormvariate(math.log(self.script.median_tokens), self.script.sigma)))

    def _complete(self, prompt: Prompt, wanted: int) -> Completion:
        tokens = min(wanted, prompt.sampling.max_tokens)
        return Completion(
            text=self._reply(prompt),
            finish_reason="stop" if wanted <= prompt.sampling.max_tokens else "length",
            prompt_tokens=max(1, len(prompt.whole_text) // CHARACTERS_PER_TOKEN),
            completion_tokens=tokens,
            confidence=Confidence.of([0.5] * tokens) if prompt.measure_confidence else None,
            # it likes all answers alike
            probabilities=tuple(1 / len(prompt.answers) for _ in prompt.answers) or None,
        )

    def _other(self, prompt: Prompt, place: int) -> Completion:
        """What it would draw by the next seed but `place` - 1, of the prompt that it has read."""
        prompt = replace(prompt, seed=prompt.seed + place)
        draw = Random(_digest(prompt)) if self._needs_draw else None
        return replace(self._complete(prompt, self._length(draw)), prompt_tokens=0)

    async def _write(self, completion: Completion) -> None:
        """Take the time of a completion; who listens hears its words as they are written."""
        prefill = completion.prompt_tokens / self.script.prefill_rate if self.script.prefill_rate else 0.0
        longest = max(draw.completion_tokens for draw in completion.drawn)
        decode = longest / self.script.decode_rate if self.script.decode_rate else 0.0
        if PIECE.get() is None:
            await asyncio.sleep(prefill + decode)
            return
        await asyncio.sleep(prefill)
        pieces = re.findall(r"\s*\S+|\s+$", completion.text)
        for piece in pieces:
            await asyncio.sleep(decode / len(pieces))
            _tell(piece)

    def _maybe_refuse(self, prompt: Prompt, draw: Random | None) -> None:
        if self.script.refuse_text and self.script.refuse_text in prompt.text:
            raise PromptRefused(f"the script refuses prompts that hold {self.script.refuse_text!r}")
        if draw is not None and draw.random() < self.script.refuse_share:
            raise PromptRefused("the script refuses this prompt")

    def _maybe_die(self, prompt: Prompt) -> None:
        if self.script.die_text and self.script.die_text in prompt.text:
            self._die(f"a prompt that holds {self.script.die_text!r}")
        if not self.script.die_after or self.calls < self.script.die_after or not self._first_death():
            return
        self._die(f"call {self.calls}")

    def _die(self, at: str) -> NoReturn:
        if self.script.exit_code is not None:
            os._exit(self.script.exit_code)
        raise EngineDied(f"the script ends this engine at {at}")

    def _first_death(self) -> bool:
        if not self.script.marks:
            return True
        try:
            (Path(self.script.marks) / "engine_died").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _tell(piece: str) -> None:
    if tell := PIECE.get():
        tell(piece)


def _append(path: str, line: str) -> None:
    with Path(path).open("a", encoding="utf-8") as log:
        log.write(line + "\n")


def scripted_reply(prompt: Prompt) -> str:
    """A short text that no other prompt and seed gives."""
    return f"Explain how topic {_digest(prompt)} works, and give one example."


def auto_evol_reply(prompt: Prompt) -> str:
    """The four steps of Auto Evol-Instruct; a quarter of the prompts get a reply that breaks off before the last."""
    steps = "Methods:\n- narrow the topic\n- ask for a reason\n\nPlan:\nBoth, one after the other."
    return steps if _breaks_off(prompt) else f"{steps}\n\nFinal rewritten instruction:\n{scripted_reply(prompt)}"


def method_reply(prompt: Prompt) -> str:
    """A new method, as an optimiser gives it; a quarter of the prompts get none."""
    if _breaks_off(prompt):
        return "I cannot think of a better method."
    return f"<method>Method {_digest(prompt)}: make this task harder.\n{{instruction}}</method>"


def judge_reply(prompt: Prompt) -> str:
    """A label, a score and a side in one, as every question to a judge may read it; a quarter get no verdict."""
    if _breaks_off(prompt):
        return "That is not for me to say."
    draw = int(_digest(prompt), 16) // 4
    label = ("very easy", "easy", "medium", "hard", "very hard")[draw % 5]
    return f"{label}, {draw % 101}, {('A', 'B', 'TIE')[draw % 3]}"


REPLIES = {
    "topic": scripted_reply,
    "auto_evol": auto_evol_reply,
    "method": method_reply,
    "autoif": autoif_reply,
    "judge": judge_reply,
}


def _breaks_off(prompt: Prompt) -> bool:
    return int(_digest(prompt), 16) % 4 == 0


def _digest(prompt: Prompt) -> str:
    return hashlib.blake2b(f"{prompt.seed} {prompt.whole_text}".encode(errors="replace"), digest_size=8).hexdigest()
