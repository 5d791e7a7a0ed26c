"""Compiled kernels: for which processors, the same results on all of them, and code that comes with a package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from llvmlite import binding

import landseries_indexer
from landseries.compiled import LEVELS, called_with, compiled, declared, level_of

_OURS: Final = level_of(binding.get_host_cpu_features())
#: Each kernel on numbers drawn by chance, and a digest of what they give.
_WORK: Final = """
import hashlib, sys
import numpy as np
from landseries import compiled
compiled.compile_for(sys.argv[1])
from landseries_indexer.regularise import regularise
from landseries_mapper import kernels
chance, digest = np.random.default_rng(5), hashlib.sha256()
values = chance.integers(-200, 9000, (15, 4, 30, 70)).astype(np.int16)
days = np.sort(chance.choice(360, 15, replace=False))
regular = regularise(values, chance.random((15, 30, 70)) < 0.4, days, np.arange(10, 360, 20), max_gap_days=40)
for array in vars(regular).values():
    digest.update(np.ascontiguousarray(array).tobytes())
gates = (chance.normal(size=(32, 500)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
memory, state = chance.normal(size=(8, 500)).astype(np.float32), np.zeros((8, 500), np.uint16)
kernels.cell(gates, chance.normal(size=32).astype(np.float32), memory, state)
digest.update(memory.tobytes() + state.tobytes())
print(digest.hexdigest())
"""


def _python(code: str, *arguments: str, path: Path | None = None) -> str:
    more = {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "HOME": "/nowhere", **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("lacking", "level"),
    [((), "x86-64-v4"), (("avx512vl",), "x86-64-v3"), (("fma",), None), (("avx2", "avx512f"), None)],
)
def test_the_level_is_the_best_that_a_processor_has_whole(lacking: tuple[str, ...], level: str | None) -> None:
    every = {feature: True for needed in LEVELS.values() for feature in needed}
    assert level_of(every | dict.fromkeys(lacking, False)) == level
    assert level_of({"neon": True}) is None


@pytest.mark.skipif(_OURS is None, reason="this processor is of no level that code is compiled for")
def test_results_are_the_same_for_every_level() -> None:
    levels = list(LEVELS)
    levels = levels[levels.index(str(_OURS)) :]
    assert len({_python(_WORK, level) for level in levels}) == 1


@pytest.mark.skipif(_OURS is None, reason="this processor is of no level that code is compiled for")
def test_code_that_came_with_a_package_is_used_where_nothing_can_be_written(tmp_path: Path) -> None:
    for package in (landseries_indexer, sys.modules["landseries"]):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    _python("from landseries.compiled import precompile; precompile('landseries_indexer')", path=tmp_path)
    # Images give all files other times.
    for file in tmp_path.rglob("*"):
        os.utime(file, (0, 0))
    used = (
        "import os; os.access = lambda *_: False  # root may write anywhere\n"
        "from landseries_indexer.sweep import sweep; from landseries.compiled import declared, arguments_of\n"
        "[(_, [signature])] = declared()\n"
        "sweep.compile(arguments_of(signature))\n"
        "print(sum(sweep.stats.cache_hits.values()), sum(sweep.stats.cache_misses.values()), sweep.stats.cache_path)"
    )
    before = sorted(tmp_path.rglob("*.nb?"))
    folder = tmp_path / "landseries_indexer" / "__pycache__"
    assert _python(used, path=tmp_path) == f"1 0 {folder}"
    # What is missing there is compiled, and works.
    for file in folder.glob("sweep.sweep-*"):
        file.unlink()
    assert _python(used, path=tmp_path) == f"0 1 {folder}"
    assert sorted(tmp_path.rglob("*.nb?")) == [file for file in before if not file.name.startswith("sweep.sweep-")]


def test_a_kernel_takes_other_types_than_declared_as_well() -> None:
    def double(value: float) -> float:
        return 2 * value

    kernel = compiled(double)
    assert kernel(1.5) == 3.0
    number = len(declared())
    assert called_with("(float64,)")(kernel) is kernel
    assert len(declared()) == number + 1
