"""Means, shares and quantiles with their uncertainty, as plain numbers for summaries.

Intervals hold 95 %. They treat records of a group as independent, which records of different seeds are.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

Z = 1.959964
"""The normal distribution's 97.5 % point."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Numbers = npt.NDArray[np.float64]


def mean(name: str, values: Numbers) -> dict[str, float | None]:
    """The mean and mean ± 1.96 s/√n, as NAME, NAME_low and NAME_high; None where it takes more values."""
    middle = float(values.mean()) if len(values) else None
    if middle is None or len(values) < 2:
        return {name: middle, f"{name}_low": None, f"{name}_high": None}
    reach = Z * float(values.std(ddof=1)) / sqrt(len(values))
    return {name: middle, f"{name}_low": middle - reach, f"{name}_high": middle + reach}


def share(name: str, part: float, whole: int) -> dict[str, float | None]:
    """`part` / `whole` with Wilson's interval (1927), which is right also near 0 and 1."""
    if not whole:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found, square = part / whole, Z * Z / whole
    centre = (found + square / 2) / (1 + square)
    reach = Z * sqrt(found * (1 - found) / whole + square / (4 * whole)) / (1 + square)
    return {name: found, f"{name}_low": max(0.0, centre - reach), f"{name}_high": min(1.0, centre + reach)}


def quantiles(values: Numbers) -> dict[str, Any]:
    """The quantiles by their share, such as {"0.5": …}; all None of no values."""
    found = np.quantile(values, QUANTILES).tolist() if len(values) else [None] * len(QUANTILES)
    return {"quantiles": {str(place): value for place, value in zip(QUANTILES, found, strict=True)}}
