"""Compiles the numeric kernels: sums run in a fixed order, so that results depend on no thread count and on no BLAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile at the first call: once per machine, or once per process where no cache can be written."""
    try:
        fast: _Function = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        fast = numba.njit(nogil=True)(function)
    return fast
