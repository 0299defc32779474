"""From the project's sampling to vLLM's parameters.

Run as a program it tells as JSON what this build of vLLM knows, for whoever must not import it; given a form as JSON,
why vLLM cannot use it, or null.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from vllm import SamplingParams
from vllm.config import StructuredOutputsConfig
from vllm.exceptions import VLLMClientError
from vllm.reasoning import ReasoningParserManager
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.structured_output.backend_xgrammar import validate_xgrammar_grammar

from evolve.records import Form, Sampling

_OURS = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "max_tokens", "stop", "seed"}
    | {"n", "logprobs", "flat_logprobs", "skip_special_tokens", "detokenize", "output_kind", "skip_clone"}
    | {"output_text_buffer_length", "thinking_token_budget"}
)
"""Fields that come from elsewhere than `extra`."""
EXTRA = frozenset(name for name in SamplingParams.__struct_fields__ if not name.startswith("_")) - _OURS
"""The fields that `Sampling.extra` may hold."""
DRAWN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty")
"""Fields that may be as the model's generation_config says."""


_BACKENDS = {
    "xgrammar": "xgrammar",
    "guidance": "llguidance",
    "outlines": "outlines_core",
    "lm-format-enforcer": "lmformatenforcer",
}
"""vLLM's ways of holding replies to forms, and the module that each needs."""


def parameters(sampling: Sampling, form: Form | None, model: Mapping[str, Any], **given: Any) -> SamplingParams:
    """vLLM's parameters of `sampling` and `form`; what is None in it is as `model`, the generation_config, says.

    Raises ValueError or TypeError for values that vLLM does not take.
    """
    drawn = {name: getattr(sampling, name) for name in DRAWN}
    drawn = {name: model.get(name) if value is None else value for name, value in drawn.items()}
    extra = dict(sampling.extra)
    if isinstance(structured := extra.get("structured_outputs"), Mapping):
        extra["structured_outputs"] = StructuredOutputsParams(**structured)
    if form:
        extra["structured_outputs"] = _structured(form)
    return SamplingParams(
        **{name: value for name, value in drawn.items() if value is not None},
        stop=list(sampling.stop) or None,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **given,
        **extra,
    )


def _structured(form: Form) -> StructuredOutputsParams:
    if form.choices:
        return StructuredOutputsParams(choice=list(form.choices))
    return StructuredOutputsParams(regex=form.pattern) if form.pattern else StructuredOutputsParams(json=form.schema)


def _known() -> dict[str, list[str]]:
    """What this build knows, by the fields of `vllm_build.Build`."""
    forms, settings = (
        [item.name for item in fields(found) if item.init]
        for found in (StructuredOutputsParams, StructuredOutputsConfig)
    )
    backends = ["auto", *(name for name, module in _BACKENDS.items() if importlib.util.find_spec(module))]
    parsers = ReasoningParserManager.list_registered()
    return {"extra": sorted(EXTRA), "parsers": parsers, "forms": forms, "settings": settings, "backends": backends}


def _fault(form: Mapping[str, Any]) -> str | None:
    """Why a form cannot be used."""
    try:
        validate_xgrammar_grammar(SamplingParams(structured_outputs=StructuredOutputsParams(**form)))
    except (TypeError, ValueError, VLLMClientError) as wrong:
        return str(wrong)
    return None


if __name__ == "__main__":
    print(json.dumps(_fault(json.loads(sys.argv[1])) if sys.argv[1:] else _known()))
