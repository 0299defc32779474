"""Float32 matrix products by a CPU's bfloat16 matrix units (AMX), which are several times as fast.

Most published weights are bfloat16 numbers, also where they are loaded as float32. An activation is, to 2^-17 of it,
the sum of two bfloat16 numbers. So its product with such weights is the sum of two products that the units take, and
they add up in float32 (Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For
Higher-Precision Computations", arXiv 1904.06376).
"""

import ctypes
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from scoring.forward.fit import Array, disagreement
from scoring.forward.head import TiledHead, plain

logger = logging.getLogger(__name__)

# Constants of the C interface to BLAS: row-major, and a matrix as it is or transposed.
_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112

# Losses a token, relative to the largest of a few; 1e-5 is usual. More means activations whose small parts count.
_TOLERANCE = 1e-4


def split_products(model: PreTrainedModel, head: TiledHead | None, losses: Callable[[], Array]) -> None:
    """Let those linear layers, and the head, whose weights are bfloat16 numbers multiply as sums of two products.

    Only a float32 model on a CPU that has the units; undone, with a logged reason, if it changes `losses()`. Weights of
    layers then take half the memory; a head that shares the embedding's gets a copy of its own.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32:
        return
    if not available():
        logger.info("products in float32: no bfloat16 matrix units")
        return
    layers = [layer for layer in _linear_layers(model) if _fits(layer.weight)]
    heads = [head] if head and _fits(head.weight) else []
    if not (layers or heads):
        logger.info("products in float32: the weights are no bfloat16 numbers")
        return
    expected = losses()
    _take_up(layers, heads)
    reason = disagreement(losses, expected, _TOLERANCE)
    if reason is None:
        logger.info("%d linear layers multiply in bfloat16 pairs", len(layers) + len(heads))
        return
    logger.warning("no products in bfloat16 pairs, scoring is slower: %s", reason)
    _undo(layers, heads)


def available() -> bool:
    """Whether the processor has the units, and torch a product for them that answers in float32."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16")) and _gemm() is not None


def multiplier(activations: Tensor) -> Callable[[Tensor], Tensor]:
    """What multiplies `activations`, float32 [n, width], with weights, bfloat16 [m, width]: float32 [n, m]."""
    high, low = _pair(activations)

    def product(weight: Tensor) -> Tensor:
        result = high.new_empty((len(high), len(weight)), dtype=torch.float32)
        # The small summand first, which loses less.
        _add_product(low, weight, 0, result)
        _add_product(high, weight, 1, result)
        return result

    return product


def _pair(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Two bfloat16 matrices that add up to `activations`, float32 [n, width], but for 2^-17 of them."""
    activations = activations.contiguous()
    high = activations.bfloat16()
    low = (activations - high).bfloat16()
    return high, low


def _take_up(layers: Sequence[nn.Linear], heads: Sequence[TiledHead]) -> None:
    for layer in layers:
        layer.weight = nn.Parameter(layer.weight.bfloat16(), requires_grad=False)
        layer.forward = partial(_linear, layer)  # type: ignore[method-assign]
    for head in heads:
        head.weight, head.multiplier = head.weight.bfloat16(), multiplier


def _undo(layers: Sequence[nn.Linear], heads: Sequence[TiledHead]) -> None:
    for layer in layers:
        layer.weight = nn.Parameter(layer.weight.float(), requires_grad=False)
        del layer.forward
    for head in heads:
        head.weight, head.multiplier = head.weight.float(), plain


def _linear(layer: nn.Linear, activations: Tensor) -> Tensor:
    result = multiplier(activations.flatten(0, -2))(layer.weight)
    if layer.bias is not None:
        result += layer.bias
    return result.view(*activations.shape[:-1], -1)


def _linear_layers(model: PreTrainedModel) -> list[nn.Linear]:
    decoder: nn.Module = cast(Any, model).get_decoder()
    return [module for module in decoder.modules() if type(module) is nn.Linear]


def _fits(weight: Tensor) -> bool:
    return weight.is_contiguous() and torch.equal(weight.bfloat16().float(), weight)


@cache
def _gemm() -> Any:
    """MKL's bfloat16 product with a float32 result, which torch's own functions do not offer; None if it is absent."""
    try:
        gemm = ctypes.CDLL("libtorch_cpu.so").cblas_gemm_bf16bf16f32
    except (OSError, AttributeError):
        return None
    size, scale, matrix = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    gemm.argtypes = [*[size] * 6, scale, matrix, size, matrix, size, scale, matrix, size]
    gemm.restype = None
    return gemm


def _add_product(left: Tensor, right: Tensor, keep: int, result: Tensor) -> None:
    """`result`, float32 [n, m], times `keep` plus left [n, width] @ right.T [width, m], in place."""
    (n, width), m = left.shape, len(right)
    places = left.data_ptr(), width, right.data_ptr(), width, keep, result.data_ptr(), m
    _gemm()(_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED, n, m, width, 1, *places)
