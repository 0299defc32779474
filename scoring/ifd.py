"""The formulas that turn mean losses into instruction-following difficulty.

All take token-mean cross-entropies in nats and answer None where the value is undefined: a loss is missing, a
divisor is zero, or the result is no finite float. So a score is a number or null, never NaN.

Sources: IFD, Li et al., "From Quantity to Quality" (arXiv 2308.12032); its perplexity form as published with
Superfiltering (arXiv 2402.00530); IC-IFD, "Smaller Language Models Are Better Instruction Evolvers"
(arXiv 2412.11231).
"""

import math


def ifd(loss_a_given_q: float | None, loss_a: float | None) -> float | None:
    """IFD as a ratio of losses: L(A|Q) / L(A)."""
    return _ratio(loss_a_given_q, loss_a)


def ic_ifd(loss_q: float | None, loss_a_given_q: float | None, loss_a: float | None) -> float | None:
    """Instruction-complex IFD: L(A|Q) / (L(Q) * L(A))."""
    if loss_q is None or loss_a is None:
        return None
    return _ratio(loss_a_given_q, loss_q * loss_a)


def ifd_perplexity(loss_a_given_q: float | None, loss_a: float | None) -> float | None:
    """IFD as a ratio of perplexities: exp(L(A|Q)) / exp(L(A))."""
    if loss_a_given_q is None or loss_a is None:
        return None
    try:
        return math.exp(loss_a_given_q - loss_a)
    except OverflowError:
        return None


def _ratio(numerator: float | None, divisor: float | None) -> float | None:
    if numerator is None or divisor is None or divisor == 0:
        return None
    quotient = numerator / divisor
    return quotient if math.isfinite(quotient) else None
