"""An engine that asks nothing twice: what was answered once for a row is given again when the row begins again.

Flows are deterministic for a row and a run's seed, so a row that begins again asks the same prompts in the same order.
Each draws with a seed of its own: prompt, sampling and seed together tell which reply belongs to which question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextvars import ContextVar

import msgspec

from evolve.engine import Engine
from evolve.errors import EngineKiller, PromptRefused
from evolve.records import Completion, Prompt

# its floats cost a fraction of what JSON's do
_encoder = msgspec.msgpack.Encoder()


class Reply(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an engine answered to the prompt with this digest: a completion, or why it refused. `row` is whose it is."""

    row: int
    prompt: str
    completion: Completion | None = None
    refused: str | None = None


def digest(prompt: Prompt) -> str:
    """BLAKE2b-128 of all that a prompt is, in hex."""
    try:
        content = _encoder.encode(prompt)
    except UnicodeEncodeError:
        # a text may hold halves of surrogate pairs, as servers send them
        content = repr(prompt).encode(errors="surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class RowReplies:
    """The replies of one row at one stage: those that are known, and where new ones go.

    `given` is told of each completion that is given again. A row that `kills` engines, with those last words, is given
    what is known and nothing else.
    """

    def __init__(
        self,
        row: int,
        known: Iterable[Reply],
        keep: Callable[[Reply], None],
        given: Callable[[Completion], None],
        kills: str | None = None,
    ) -> None:
        self._row, self._keep, self._given, self._kills = row, keep, given, kills
        self._known = {reply.prompt: reply for reply in known}

    def again(self, prompt: str) -> Completion | None:
        """The completion that is known of a prompt, if any.

        Raises PromptRefused where that was the answer, EngineKiller where the prompt must not be asked.
        """
        reply = self._known.get(prompt)
        if reply is None:
            if self._kills is not None:
                raise EngineKiller(f"every engine that was asked has died: {self._kills}")
            return None
        if reply.completion is None:
            raise PromptRefused(reply.refused or "")
        self._given(reply.completion)
        return reply.completion

    def keep(self, prompt: str, completion: Completion | None, refused: str | None = None) -> None:
        """Note a new reply."""
        self._keep(Reply(self._row, prompt, completion, refused))


REPLIES: ContextVar[RowReplies | None] = ContextVar("replies", default=None)
"""Those of the row that the running task works for; tasks that it starts inherit them. None where none are kept."""


class JournalEngine:
    """`engine`, which is only asked what no reply is known of."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def max_concurrency(self) -> int | None:
        """The inner engine's."""
        return self._engine.max_concurrency

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`."""
        replies = REPLIES.get()
        if replies is None:
            return await self._engine.generate(prompt)
        name = digest(prompt)
        known = replies.again(name)
        if known is not None:
            return known
        try:
            completion = await self._engine.generate(prompt)
        except PromptRefused as refused:
            replies.keep(name, None, str(refused))
            raise
        replies.keep(name, completion)
        return completion

    async def close(self) -> None:
        """Close the inner engine."""
        await self._engine.close()
