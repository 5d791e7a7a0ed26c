"""Kernels that unit tests run are called with the types that they declare, for which images hold compiled code."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _kernels_are_called_as_declared() -> Iterator[None]:
    yield
    compiled = sys.modules.get("landseries.compiled")
    if compiled is None:
        return
    for kernel, signatures in compiled.declared():
        assert set(kernel.signatures) <= {compiled.arguments_of(signature) for signature in signatures}, kernel
