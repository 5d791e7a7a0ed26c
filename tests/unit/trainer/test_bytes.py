"""The bytes of trained weights, known from before networks were trained by groups and tables mapped from disk.

Where an intended change of the method changes them, raise the train stage's version in the pipeline table with it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from landseries import numerics
from landseries.numerics import Capability, NumericsProfile

#: The release that they are known for; another one may compute otherwise.
TORCH = "2.13"
KNOWN: list[tuple[Capability, str, list[str]]] = [
    ("default", "float32", ["be419c1a0a72518c", "5a342c60e9506921", "2a7ba4de6e6ad11b", "60d06cffc2aabffa"]),
    ("avx512_bf16", "bfloat16", ["cb93ef0afad6e612", "84f2ebf1763eee24", "6ddd69ce394420f4", "ca06b8be89ba0683"]),
]


@pytest.mark.parametrize(("capability", "precision", "digests"), KNOWN)
def test_one_process_writes_the_bytes_that_it_always_wrote(
    capability: Capability, precision: str, digests: list[str]
) -> None:
    profile = NumericsProfile(capability=capability)
    if platform.machine() not in ("x86_64", "AMD64") or not torch.__version__.startswith(TORCH):
        pytest.skip(f"bytes are known for PyTorch {TORCH} on x86-64, this is {torch.__version__}, {platform.machine()}")
    if numerics.missing_for(profile) is not None:
        pytest.skip(f"{numerics.missing_for(profile)}")
    environment = os.environ | numerics.process_environment(profile) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "support.known_training", precision]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert found == digests
