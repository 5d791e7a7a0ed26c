"""Temporal interpolation beside eo-learn's LinearInterpolationTask and beside the memory's own rate, in one run.

    pytest tests/benchmarks/test_interpolation.py -s --benchmark-columns=min,median,rounds

The case: 60 irregular dates onto 24, ten bands, 256 x 256 pixels, half of the views clear, drawn pixel by pixel (worse
than real clouds, which spare whole blocks the reading). Rounds alternate, so that another load on the machine slows all
sides; rates are those of the best rounds, all on all cores.

Definitions. Interpolation: values of the regular series a second (24 x 10 x 256 x 256), allocation of the result
included. Copy: int16 values a second of copying the acquisitions, cut into one part a core. `copy` writes into a new
array, as interpolation does; `copyto` writes into an array that is used again, which no interpolation can come near:
it reads 2.5 values for each that it writes, so moving its bytes alone allows 57 % of that rate.

eo-learn needs other versions of packages than landseries and so an environment of its own: LANDSERIES_EOLEARN_PYTHON
names its interpreter; otherwise one is made under ~/.cache/landseries.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from landseries.bands import NODATA
from landseries_indexer.regularise import RegularSeries, regular_days, regularise

VIEWS: Final = 60
BANDS: Final = 10
DATES: Final = 24
SIDE: Final = 256
VALUES: Final = DATES * BANDS * SIDE * SIDE
ROUNDS: Final = 40
#: What its task imports: it asks for pkg_resources, which newer setuptools no longer have.
EOLEARN: Final = ("eo-learn==1.5.7", "numba", "scipy", "scikit-learn", "matplotlib", "setuptools<81")


@dataclass(frozen=True)
class Case:
    values: NDArray[np.int16]
    clear: NDArray[np.uint8]
    days: NDArray[np.int64]

    def interpolate(self) -> RegularSeries:
        return regularise(self.values, self.clear, self.days, regular_days(dates=DATES))


@pytest.fixture(scope="module")
def case() -> Case:
    random = np.random.default_rng(1)
    days = np.sort(random.choice(365, VIEWS, replace=False))
    season = 1500 + 1000 * np.sin(days / 58)[:, None, None, None] + random.normal(0, 300, (1, BANDS, SIDE, SIDE))
    values = (season + random.normal(0, 200, (VIEWS, BANDS, SIDE, SIDE))).astype(np.int16)
    return Case(values, (random.random((VIEWS, SIDE, SIDE)) < 0.5).astype(np.uint8), days)


@pytest.fixture(scope="module")
def eolearn(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Callable[[str], float], Path]]:
    """A function that does one round of eo-learn, serial or parallel, in seconds; and the folder of its result."""
    folder = tmp_path_factory.mktemp("eolearn")
    np.savez(folder / "case.npz", values=case.values, clear=case.clear, days=case.days, dates=regular_days(dates=DATES))
    command = [_eolearn_python(), str(Path(__file__).with_name("eolearn_rounds.py")), str(folder)]
    environment = os.environ | {"NUMBA_NUM_THREADS": str(numba.get_num_threads())}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asked, answers = process.stdin, process.stdout
        if answers.readline().strip() != "ready":
            pytest.skip(f"eo-learn does not run in {command[0]}; see its messages above")

        def one_round(kind: str) -> float:
            print(kind, file=asked, flush=True)
            return float(answers.readline())

        yield one_round, folder
        asked.close()


def test_interpolation_against_eolearn(
    benchmark: Any, case: Case, eolearn: tuple[Callable[[str], float], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """At least ten times the faster of its two variants, and the same values."""
    one_round, folder = eolearn
    theirs = np.load(folder / "result.npy").transpose(0, 3, 1, 2)
    ours = case.interpolate()
    # Theirs is empty before the first and after the last clear view, and not rounded.
    compared = ~np.isnan(theirs) & (ours.values != NODATA)
    assert compared.mean() > 0.9
    assert np.abs(ours.values[compared] - theirs[compared]).max() < 0.51

    seconds: dict[str, list[float]] = {"serial": [], "parallel": []}

    def their_round() -> None:
        for kind, taken in seconds.items():
            if len(taken) < 5:
                taken.append(one_round(kind))

    benchmark.pedantic(case.interpolate, setup=their_round, rounds=ROUNDS, warmup_rounds=1)
    rate = VALUES / benchmark.stats.stats.min
    kind, reference = max(((kind, VALUES / min(taken)) for kind, taken in seconds.items()), key=lambda pair: pair[1])
    benchmark.extra_info.update(values_per_s=round(rate), reference_values_per_s=round(reference))
    with capsys.disabled():
        print(
            f"\ninterpolation: {rate / 1e6:,.0f} M values/s, eo-learn LinearInterpolationTask ({kind}) "
            f"{reference / 1e6:,.1f} M, ratio {rate / reference:.0f}"
        )
    assert rate >= 10 * reference


def test_interpolation_against_copying(benchmark: Any, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """At least a quarter of the rate at which the same machine copies the acquisitions into a new array."""
    seconds: dict[str, list[float]] = {"copy": [], "copyto": []}
    used_again = np.empty_like(case.values)
    with ThreadPoolExecutor(numba.get_num_threads()) as pool:

        def copy_round() -> None:
            for kind, taken in seconds.items():
                start = time.perf_counter()
                _copy(pool, case.values, used_again if kind == "copyto" else np.empty_like(case.values))
                taken.append(time.perf_counter() - start)

        benchmark.pedantic(case.interpolate, setup=copy_round, rounds=ROUNDS, warmup_rounds=2)
    rate = VALUES / benchmark.stats.stats.min
    copied = {kind: case.values.size / min(taken) for kind, taken in seconds.items()}
    benchmark.extra_info.update(values_per_s=round(rate), **{f"{k}_values_per_s": round(v) for k, v in copied.items()})
    with capsys.disabled():
        shares = ", ".join(f"{rate / of:.0%} of {kind} ({of / 1e6:,.0f} M)" for kind, of in copied.items())
        print(f"\ninterpolation: {rate / 1e6:,.0f} M values/s on {numba.get_num_threads()} cores, {shares}")
    if os.getloadavg()[0] > 1.5 * numba.get_num_threads():
        pytest.skip(f"other processes hold the cores (load {os.getloadavg()[0]:.1f}): the figures above mean little")
    assert rate >= 0.25 * copied["copy"]


def _copy(pool: ThreadPoolExecutor, source: NDArray[np.int16], target: NDArray[np.int16]) -> None:
    """Copy on all cores, a part of the first axis each."""
    parts = np.array_split(np.arange(source.shape[0]), numba.get_num_threads())
    for _ in pool.map(lambda part: np.copyto(target[part[0] : part[-1] + 1], source[part[0] : part[-1] + 1]), parts):
        pass


def _eolearn_python() -> str:
    """The interpreter of an environment with eo-learn, made where none is named; skips where that fails."""
    named = os.environ.get("LANDSERIES_EOLEARN_PYTHON")
    if named:
        return named
    folder = Path.home() / ".cache" / "landseries" / EOLEARN[0].replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *EOLEARN],
        ):
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"no environment with eo-learn could be made in {folder}: {made.stderr.strip()[-300:]}")
        (folder / "ready").touch()
    return str(python)
