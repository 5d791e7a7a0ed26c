"""Compiling numeric kernels with Numba, for the services that depend on it; the shared distribution itself does not.

Kernels are compiled at their first call and run without the interpreter's lock. The compiled code is kept beside the
kernel's module for the next process. What a process calls directly declares the types that it is called with, so that
an image can be built with its code compiled (`precompile`); a process that finds such code where nothing can be written
takes it from there, and compiles for itself only what is missing.

Code is made for a level of processors (x86-64-v3, x86-64-v4: the x86-64 psABI's micro-architecture levels) and not for
the very processor, so that code compiled on one machine serves the others. No kernel may reorder or fuse arithmetic, so
results are the same at every level.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numba
from llvmlite import binding
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator
from numba.core.sigutils import normalize_signature

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: Levels, best first, with what a processor must have beyond the level below.
LEVELS: Final[dict[str, tuple[str, ...]]] = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "x86-64-v3": ("avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"),
}
#: LLVM uses half of the vector registers of the best level unless told otherwise.
_TUNING: Final[dict[str, str]] = {"x86-64-v4": "-prefer-256-bit"}
_ENTRIES: list[tuple[Any, tuple[str, ...]]] = []


def compiled(function: _Function) -> _Function:
    """Compile a kernel in which a division by zero raises, as in Python."""
    return _compile(function, "python")


def compiled_unchecked(function: _Function) -> _Function:
    """Compile a kernel in which a division by zero gives what IEEE 754 says, without a check."""
    return _compile(function, "numpy")


def called_with(*signatures: str) -> Callable[[_Function], _Function]:
    """Declare the types that units call a compiled kernel with.

    Args:
        signatures: arguments' types in Numba's notation, such as `(float32[:, ::1], int64)`; one for each way to call.
    """

    def declare(kernel: _Function) -> _Function:
        _ENTRIES.append((kernel, signatures))
        return kernel

    return declare


def declared() -> tuple[tuple[Any, tuple[str, ...]], ...]:
    """The kernels of all modules imported so far that declare their types, with these."""
    return tuple(_ENTRIES)


def arguments_of(signature: str) -> tuple[Any, ...]:
    """The types that a declaration means."""
    arguments: tuple[Any, ...] = normalize_signature(signature)[0]
    return arguments


def precompile(package: str, level: str | None = None) -> int:
    """Compile the declared kernels of a package, for this process and, where a cache can be written, for others.

    Args:
        package: an installed package; all its modules are imported.
        level: one of `LEVELS`, which this machine need not have; by default this machine's. It holds for all that the
            process compiles from now on, so it must have compiled nothing before.

    Returns:
        The number of kernels.
    """
    if level is not None:
        compile_for(level)
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(module.name)
    for kernel, signatures in _ENTRIES:
        for signature in signatures:
            kernel.compile(arguments_of(signature))  # as a call does: the cache knows a signature by what it was given
    return len(_ENTRIES)


def compile_for(level: str) -> None:
    """Compile for processors of a level from now on; the process must have compiled nothing before."""
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = level, _TUNING.get(level, "")


def level_of(features: dict[str, bool]) -> str | None:
    """The best level that a processor with some features has; None below the least, or for another architecture."""
    found = None
    for level, needed in reversed(LEVELS.items()):
        if not all(features.get(feature, False) for feature in needed):
            break
        found = level
    return found


class _Beside(InTreeCacheLocator):  # type: ignore[misc]
    """Compiled code beside a module, where nothing can be written."""

    def ensure_cache_path(self) -> None:
        """Nothing is written."""


class _ShippedCode(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Beside,)


class _ShippedCache(FunctionCache):  # type: ignore[misc]
    """Code that came with the package; what is missing is compiled and forgotten."""

    _impl_class = _ShippedCode

    def save_overload(self, sig: Any, data: Any) -> None:
        """Nothing is written."""


def _compile(function: _Function, error_model: str) -> _Function:
    folder = Path(function.__code__.co_filename).parent / "__pycache__"
    if not os.access(folder, os.W_OK) and any(folder.glob("*.nbi")):
        fast: Any = numba.njit(nogil=True, error_model=error_model)(function)
        fast._cache = _ShippedCache(function)
        return fast  # type: ignore[no-any-return]
    try:
        fast = numba.njit(cache=True, nogil=True, error_model=error_model)(function)
    except RuntimeError:  # nothing can be written anywhere
        fast = numba.njit(nogil=True, error_model=error_model)(function)
    return fast  # type: ignore[no-any-return]


if numba.config.CPU_NAME is None and (_level := level_of(binding.get_host_cpu_features())) is not None:
    compile_for(_level)
