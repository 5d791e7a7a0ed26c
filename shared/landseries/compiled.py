"""Compiling numeric kernels with Numba, for the services that depend on it; the shared distribution itself does not.

Kernels are compiled at their first call and run without the interpreter's lock. The compiled code is kept beside the
kernel's module for the next process; where no cache can be written, as in a read-only container, each process compiles
for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a kernel in which a division by zero raises, as in Python."""
    return _compile(function, "python")


def compiled_unchecked(function: _Function) -> _Function:
    """Compile a kernel in which a division by zero gives what IEEE 754 says, without a check."""
    return _compile(function, "numpy")


def _compile(function: _Function, error_model: str) -> _Function:
    try:
        fast: _Function = numba.njit(cache=True, nogil=True, error_model=error_model)(function)
    except RuntimeError:
        fast = numba.njit(nogil=True, error_model=error_model)(function)
    return fast
