"""Tell numbers from other values, without importing NumPy, whose numbers count too."""

import math
from numbers import Integral, Real
from typing import Any

__all__ = ["is_finite_number", "is_integer"]


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer, not a bool."""
    return not isinstance(value, bool) and isinstance(value, Integral)


def is_finite_number(value: Any) -> bool:
    """Return whether a value is a finite number, not a bool."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
