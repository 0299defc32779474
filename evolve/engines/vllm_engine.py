"""The engine that serves a model with vLLM inside the calling process. The only module that imports vllm."""

from __future__ import annotations

import logging
import math
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

# Read by vLLM when it is imported: no usage reports, and only its own errors in the log.
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import psutil
from vllm import SamplingParams
from vllm.config import StructuredOutputsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs import TokensPrompt
from vllm.logprobs import FlatLogprobs, SampleLogprobs
from vllm.lora.request import LoRARequest
from vllm.outputs import CompletionOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from evolve.confidence import Confidence
from evolve.engines.adapters import Adapter, read_adapter
from evolve.engines.chat import Chat
from evolve.engines.reasoning import AUTO, NONE, parser_for
from evolve.engines.rendering import Control, Rendering, own_template
from evolve.engines.reply_text import clean, finish
from evolve.engines.several import joined
from evolve.engines.vllm_answers import LIKELIEST, probabilities
from evolve.engines.vllm_loading import told_why
from evolve.engines.vllm_reasoning import Thoughts
from evolve.engines.vllm_sampling import parameters
from evolve.errors import EngineDied, PromptRefused, SettingsRefused
from evolve.listening import PIECE, URGENCY, URGENT
from evolve.records import Completion, Prompt
from evolve.thoughts import Parted

MIN_COMPLETION_TOKENS = 1
CPU_CACHE_PART, CPU_CACHE_BYTES = 8, 4 * 2**30
"""On CPUs an engine's cache has such a part of the memory that is free, and no more than so much."""
log = logging.getLogger(__name__)


class VllmEngine:
    """One vLLM engine; its scheduler batches whatever `generate` calls are under way.

    `arguments` are vLLM's own engine arguments (`tensor_parallel_size`, `dtype`, `max_model_len`, ...).
    A prompt is a conversation in the chat template; a model without one reads the texts as they are. Raises
    SettingError, before the weights are read, where the model cannot use what `chat` says or has no such `reasoning`:
    the name of vLLM's parser of what it thinks aloud, "none", or "auto" to find out from its template.

    A model may think for `reasoning_tokens` and answer in as many as the prompt's sampling allows; with None both share
    these. `control` says what becomes of control tokens in texts.

    Prompts are answered under the LoRA adapter in the folder `adapter`, if any, or under that of `adapters` which they
    name. Raises SettingError where one is none, or of another base.
    """

    def __init__(
        self,
        model: str,
        arguments: Mapping[str, Any],
        chat: Chat | None = None,
        reasoning: str = AUTO,
        reasoning_tokens: int | None = None,
        control: Control = "keep",
        adapter: str | None = None,
        adapters: Sequence[str] = (),
    ) -> None:
        self._adapter = adapter or ""
        loras = [read_adapter(path, model) for path in dict.fromkeys(filter(None, (adapter, *adapters)))]
        self._loras = {lora.path: LoRARequest(lora.path, number, lora.path) for number, lora in enumerate(loras, 1)}
        self._chat, self._reasoning_tokens = chat or Chat(), reasoning_tokens
        given = AsyncEngineArgs(
            model=model, **{"disable_log_stats": True, **_defaults(arguments), **_lora(loras), **arguments}
        )
        if isinstance(given.structured_outputs_config, Mapping):
            given.structured_outputs_config = StructuredOutputsConfig(**given.structured_outputs_config)
        self._tokenizer: Any = cached_tokenizer_from_config(given.create_model_config())
        self._chat.check(own_template(self._tokenizer))
        self._rendering = Rendering(self._tokenizer, self._chat, control)
        self._thoughts = self._reading(reasoning)
        if self._thoughts and not given.reasoning_parser:
            # so that a form waits for the end of the thoughts, and that they can be bounded
            given.reasoning_parser = self._thoughts.name
        # the context picks vLLM's defaults for how much it batches: those of its offline class are the largest
        # (256 sequences, 1,024 on large GPUs), those of an engine that is embedded without saying what for half of that
        with told_why():
            self._engine = AsyncLLM.from_engine_args(given, usage_context=UsageContext.LLM_CLASS)
        self._context = int(self._engine.model_config.max_model_len)
        self._generation: dict[str, Any] = self._engine.model_config.get_diff_sampling_param()
        thinking = self._engine.vllm_config.reasoning_config
        self._bounded = thinking is not None and thinking.enabled

    @property
    def max_concurrency(self) -> int:
        """vLLM's limit of sequences in a batch, of all its replicas; long ones may fill its cache before."""
        config = self._engine.vllm_config
        return int(config.scheduler_config.max_num_seqs) * int(config.parallel_config.data_parallel_size)

    async def generate(self, prompt: Prompt) -> Completion:
        """Complete `prompt`. The completion is cut where the model's context ends, with finish reason "length"."""
        tokens = self._rendering.encode(prompt.messages)
        if not tokens:
            raise PromptRefused("the prompt has no tokens")
        opened = self._thoughts.opened(tokens) if self._thoughts else False
        room = self._context - len(tokens)
        if room < MIN_COMPLETION_TOKENS:
            raise PromptRefused(f"the prompt has {len(tokens)} tokens, the model's context is {self._context}")
        asked = self._parameters(prompt, room, opened)
        lora = self._loras.get(self._adapter if prompt.adapter is None else prompt.adapter)
        try:
            outputs = await self._drawn(tokens, asked, lora)
        except EngineDeadError as dead:
            raise EngineDied(f"vLLM's engine died: {dead}") from dead
        except (ValueError, VLLMClientError) as refused:
            raise PromptRefused(str(refused)) from refused
        completion = joined([partial(self._completion, output, opened) for output in outputs], len(tokens))
        if not prompt.answers:
            return completion
        found = await probabilities(
            prompt.answers, tokens, outputs[0], completion.text, lambda more, how: self._complete(more, how, lora)
        )
        return replace(completion, probabilities=found)

    async def close(self) -> None:
        """Stop the engine's processes and free its memory."""
        self._engine.shutdown()

    async def _complete(
        self, tokens: list[int], parameters: SamplingParams, lora: LoRARequest | None
    ) -> CompletionOutput:
        return (await self._drawn(tokens, parameters, lora))[0]

    async def _drawn(
        self, tokens: list[int], parameters: SamplingParams, lora: LoRARequest | None
    ) -> Sequence[CompletionOutput]:
        last: Sequence[CompletionOutput] = ()
        prompt, told = TokensPrompt(prompt_token_ids=tokens), 0
        # nobody can listen to several at once
        tell = None if self._thoughts or parameters.n > 1 else PIECE.get()
        if tell:
            parameters.output_kind = RequestOutputKind.CUMULATIVE
        asked = self._engine.generate(
            prompt,
            parameters,
            request_id=uuid.uuid4().hex,
            lora_request=lora,
            # heeded where `scheduling_policy` is `priority`
            priority=URGENCY.get() - URGENT,
        )
        async for output in asked:
            last = output.outputs
            if tell:
                tell(last[0].text[told:])
                told = len(last[0].text)
        assert last, "an engine that ends a request gives what it has drawn"
        return last

    def _parameters(self, prompt: Prompt, room: int, opened: bool | None) -> SamplingParams:
        sampling, thinks = prompt.sampling, self._thoughts is not None and opened is not False
        budget = self._reasoning_tokens if thinks and self._bounded else None
        try:
            return parameters(
                sampling,
                prompt.form,
                self._generation,
                max_tokens=min(sampling.max_tokens + (self._reasoning_tokens or 0) * thinks, room),
                seed=prompt.seed,
                n=prompt.draws,
                logprobs=LIKELIEST if prompt.answers else 1 if prompt.measure_confidence else None,
                skip_special_tokens=not (self._thoughts and self._thoughts.keep_special),
                thinking_token_budget=budget,
            )
        except (TypeError, ValueError, VLLMClientError) as wrong:
            raise SettingsRefused(f"sampling: vLLM does not take it: {wrong}") from wrong

    def _completion(self, output: CompletionOutput, opened: bool | None) -> Completion:
        text, tokens = output.text, output.token_ids
        parted, thought = self._thoughts.part(text, tokens, opened) if self._thoughts else (Parted("", text), 0)
        return Completion(
            text=clean(parted.answer),
            finish_reason=finish(output.finish_reason),
            prompt_tokens=0,
            completion_tokens=len(tokens),
            confidence=Confidence.of(_tops(output.logprobs)[thought:]) if output.logprobs else None,
            reasoning=parted.reasoning.replace("\0", ""),
            reasoning_tokens=thought,
            reasoning_ended=parted.ended,
        )

    def _reading(self, reasoning: str) -> Thoughts | None:
        """How the model's thoughts are read; None where it has none or they are to count as answers."""
        name: str | None = reasoning
        if reasoning == AUTO:
            name, self.reasoning = parser_for(self._chat.template or own_template(self._tokenizer))
        else:
            self.reasoning = "as configured"
        name = name or NONE
        self.reasoning = f"{name} ({self.reasoning})"
        log.info("reasoning: %s", self.reasoning)
        return None if name == NONE else Thoughts(name, self._tokenizer, self._chat.arguments, self._rendering.tail())


def _defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a configuration may replace, beside those that are `given`."""
    # where white space is free, small models fill JSON with blank lines until their tokens are gone
    forms = {"backend": "xgrammar", "disable_any_whitespace": True}
    if current_platform.is_cpu():
        # vLLM 0.29 rewinds the generator of a seeded request after each piece of its prompt, which PyTorch's CPU
        # generator cannot do: the engine dies as soon as one prompt is cut in pieces
        own = {"enable_prefix_caching": True, "enable_chunked_prefill": False, "structured_outputs_config": forms}
        return own | _cpu_memory(given)
    return {"enable_prefix_caching": True, "structured_outputs_config": forms}


def _cpu_memory(given: Mapping[str, Any]) -> dict[str, Any]:
    """The cache's size: left to itself vLLM takes nine tenths of all memory, and fails where others have one."""
    if "gpu_memory_utilization" in given or os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        return {}
    return {"kv_cache_memory_bytes": min(psutil.virtual_memory().available // CPU_CACHE_PART, CPU_CACHE_BYTES)}


def _lora(adapters: Sequence[Adapter]) -> dict[str, Any]:
    """Room for adapters, all of which may be in one batch."""
    if not adapters:
        return {}
    rank = max(adapter.room for adapter in adapters)
    # vLLM 0.29 on CPUs gives rows of the bare model the last place beside rows with adapters: it must stay empty
    places = len(adapters) + current_platform.is_cpu()
    return {"enable_lora": True, "max_loras": places, "max_lora_rank": rank}


def _tops(logprobs: SampleLogprobs) -> list[float]:
    """The probability of each position's most likely token; vLLM's default log-probabilities are the raw ones."""
    assert isinstance(logprobs, FlatLogprobs)
    positions = zip(logprobs.start_indices, logprobs.end_indices, strict=True)
    return [math.exp(max(logprobs.logprobs[start:end])) for start, end in positions]
